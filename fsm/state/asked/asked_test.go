package asked

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// TestSums: whatever comes, changes and goes, the sums are those of what is there.
func TestSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		of := func(list ...string) string { return rapid.SampledFrom(list).Draw(rt, "value") }
		var sums Sums
		rows := map[string]*model.Job{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			j := &model.Job{
				ID: of("a", "b", "c"), Namespace: of("m", "n"), Region: of("global", "global", "west"), Type: of("service", "batch", "system"),
				Status: of("running", "dead"), Stop: of("", "", "y") != "",
				TaskGroups: []*model.TaskGroup{{Count: rapid.IntRange(0, 3).Draw(rt, "count"), Tasks: []*model.Task{{Resources: &model.Resources{
					MemoryMB: rapid.SampledFrom([]int{1, 10, 1 << 50}).Draw(rt, "memory"),
				}}}}},
			}
			key := j.Namespace + "/" + j.ID
			if before := rows[key]; before != nil {
				sums.Count(before, -1)
				delete(rows, key)
			}
			if of("put", "put", "drop") == "put" {
				sums.Count(j, 1)
				rows[key] = j
			}
			for _, ns := range []string{"m", "n"} {
				for _, region := range []string{"global", "west"} {
					var want tenancy.Use
					var system []*model.Job
					for _, id := range []string{"a", "b", "c"} {
						row := rows[ns+"/"+id]
						switch {
						case row == nil || row.Region != region:
						case row.Type == "system":
							system = append(system, row)
						default:
							want.Add(row, rowsAlone{})
						}
					}
					if use, jobs := sums.Of(ns, region); use != want || !reflect.DeepEqual(jobs, system) {
						rt.Fatalf("%s in %s: %v %v, want %v %v", ns, region, use, fmt.Sprint(jobs), want, fmt.Sprint(system))
					}
				}
			}
		}
		for _, row := range rows {
			sums.Count(row, -1)
		}
		if len(sums.spaces) != 0 {
			rt.Fatalf("something is left: %v", sums.spaces)
		}
	})
}
