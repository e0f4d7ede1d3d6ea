package precedence

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
)

// job builds a job of groups, each "name: target condition, ...", where a target is a
// group, or job.group, or job. for all of another job's.
func job(id, kind string, groups ...string) *model.Job {
	j := model.NewJob(kind)
	j.ID, j.Name = id, id
	for _, text := range groups {
		name, list, _ := strings.Cut(text, ":")
		if name == "*" {
			j.DependsOn = dependencies(list)
			continue
		}
		j.TaskGroups = append(j.TaskGroups, &model.TaskGroup{Name: name, Count: 1, DependsOn: dependencies(list)})
	}
	return j
}

func dependencies(list string) []*depends.Dependency {
	var out []*depends.Dependency
	for _, text := range strings.Split(list, ",") {
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		d := &depends.Dependency{Name: f[0]}
		if len(f) > 1 {
			d.Condition = f[1]
		}
		if other, group, ok := strings.Cut(f[0], "."); ok {
			d.Job, d.Group = other, group
		}
		out = append(out, d)
	}
	return out
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		name string
		job  *model.Job
		want string // "" for none
	}{
		{"none", job("j", "service", "web", "db"), ""},
		{"in order", job("j", "service", "web: db", "db"), ""},
		{"of another job", job("j", "service", "web: pg.db started", "*: etl. completed"), ""},
		{"unknown", job("j", "service", "web: dbb", "db"), `job.group["web"].depends_on["dbb"]: the job has no group "dbb" (the job's other groups: db;`},
		{"itself", job("j", "service", "web: web"), `group "web" would wait for itself`},
		{"its own job", job("j", "service", "web: j."), "the job would wait for itself"},
		{"its own job by name", job("j", "service", "web: j.db", "db"), ""},
		{"two in a circle", job("j", "service", "web: db", "db: web"), "web → db → web"},
		{"three in a circle", job("j", "service", "a", "b: c", "c: d", "d: b"), "b → c → d → b"},
		{"completed", job("j", "service", "web: db completed", "db"), "a service job does not complete"},
		{"healthy batch", job("j", "batch", "web: db", "db"), `nothing of a batch job is ever called healthy (condition = "completed" or "started")`},
		{"batch", job("j", "batch", "web: db completed", "db"), ""},
		{"condition", job("j", "service", "web: db ready", "db"), `"ready" is not a valid value (one of: started, healthy, completed)`},
		{"job without a job", job("j", "service", "web", "*: db"), "a dependency of the whole job is one on another job"},
		{"twice", job("j", "service", "web: db, db", "db"), `the label "db" is used twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Problems(tt.job)
			switch {
			case tt.want == "" && len(got) == 0:
			case tt.want == "" || len(got) == 0 || !strings.Contains(got[0].String(), tt.want):
				t.Errorf("%v, want %q", got, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	jobs := map[string]*model.Job{}
	lookup := func(_, id string) *model.Job { return jobs[id] }
	register := func(j *model.Job, want string) {
		t.Helper()
		err := Check(j, lookup)
		if want == "" && err == nil {
			jobs[j.ID] = j
			return
		}
		if want == "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	register(job("web", "service", "front: pg.db, cache.", "back: later."), "")
	register(job("pg", "service", "db", "backup: web.front"), "") // not a circle: groups
	register(job("cache", "service", "redis: pg.backup"), `job "cache" would wait for itself: redis → pg.backup → web.front → redis`)
	register(job("later", "service", "x", "*: web."), `would wait for itself: x → web.back → x`)
	register(job("later", "service", "x", "*: web.front"), "")
	if got := Dependents(jobs["web"], func(yield func(*model.Job) bool) {
		for _, id := range []string{"cache", "later", "pg", "web"} {
			if j := jobs[id]; j != nil && !yield(j) {
				return
			}
		}
	}, 10); !slices.Equal(got, []string{"later.x", "pg.backup"}) {
		t.Errorf("dependents %v", got)
	}
	if err := Misfits(job("w", "service", "a: pg.db completed"), lookup); err == nil || !strings.Contains(err.Error(), "a service job does not complete") {
		t.Errorf("%v", err)
	}
}

// TestCheckIsBounded: a chain that is too long is refused, not followed.
func TestCheckIsBounded(t *testing.T) {
	lookup := func(_, id string) *model.Job {
		var n int
		fmt.Sscanf(id, "j%d", &n)
		return job(id, "service", fmt.Sprintf("g: j%d.g", n+1))
	}
	if err := Check(lookup("", "j0"), lookup); err == nil || !strings.Contains(err.Error(), "too many to be sure") {
		t.Errorf("%v", err)
	}
}

// TestNoCycleIsAdmitted registers random jobs: whatever Check lets pass can be put in an
// order, and what it refuses cannot.
func TestNoCycleIsAdmitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		jobs := map[string]*model.Job{}
		for range rapid.IntRange(1, 12).Draw(t, "writes") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
			var groups []string
			for _, g := range []string{"x", "y", "z"}[:rapid.IntRange(1, 3).Draw(t, "groups")] {
				list := rapid.SliceOfN(rapid.SampledFrom([]string{"a.", "b.", "c.", "a.x", "b.y", "c.z", "a.y", "b.x"}), 0, 2).Draw(t, "on")
				groups = append(groups, g+": "+strings.Join(list, ","))
			}
			j := job(id, "service", groups...)
			next := map[string]*model.Job{id: j}
			for k, v := range jobs {
				if k != id {
					next[k] = v
				}
			}
			err := Check(j, func(_, id string) *model.Job { return jobs[id] })
			if ok := ordered(next); ok != (err == nil) {
				t.Fatalf("%v, in order: %v", err, ok)
			}
			if err == nil {
				jobs = next
			}
		}
	})
}

// ordered takes groups away that depend on nothing that is left, until none is.
func ordered(jobs map[string]*model.Job) bool {
	left := map[Key]bool{}
	for _, j := range jobs {
		for _, g := range j.TaskGroups {
			left[Key{j.Namespace, j.ID, g.Name}] = true
		}
	}
	for again := true; again; {
		again = false
		for k := range left {
			j := jobs[k.Job]
			free := true
			for _, d := range Of(j, find(j, k.Group)) {
				for other := range left {
					free = free && !(other.Job == d.Job && (d.Group == "" || d.Group == other.Group))
				}
			}
			if free {
				delete(left, k)
				again = true
			}
		}
	}
	return len(left) == 0
}

func TestBefore(t *testing.T) {
	j := job("j", "service", "web: api", "api: db started, pg.x", "db", "other")
	got := Before(j, "web")
	if len(got) != 2 || got["api"] != depends.Healthy || got["db"] != depends.Started {
		t.Errorf("%v", got)
	}
}
