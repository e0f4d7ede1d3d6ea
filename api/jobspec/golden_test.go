package jobspec

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The corpus of published job files is no part of the repository.
var corpus = filepath.Join("..", "..", "..", "shared", "compat", "jobs")

type corpusRow struct{ path, valid, vars, reason string }

func readIndex(t *testing.T) []corpusRow {
	data, err := os.ReadFile(filepath.Join(corpus, "index.tsv"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no corpus of job files beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var rows []corpusRow
	for i, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if i == 0 || len(f) < 7 {
			continue
		}
		rows = append(rows, corpusRow{path: f[0], valid: f[1], vars: f[2], reason: f[6]})
	}
	return rows
}

func readGolden(t *testing.T) map[string]map[string]any {
	f, err := os.Open(filepath.Join(corpus, "golden.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]map[string]any{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var row struct {
			Path string         `json:"path"`
			Job  map[string]any `json:"job"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		golden[row.Path] = row.Job
	}
	return golden
}

func parseCorpusFile(t *testing.T, row corpusRow) (*File, error) {
	name := filepath.Join(corpus, filepath.FromSlash(row.path))
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{AllowFS: true}
	if row.vars == "synth" {
		data, err := os.ReadFile(name + ".synth.vars")
		if err != nil {
			t.Fatal(err)
		}
		opts.VarFiles = []Source{{Name: row.path + ".synth.vars", Data: data}}
	}
	return Parse(name, src, opts)
}

func TestCorpusInvalid(t *testing.T) {
	line := regexp.MustCompile(`^[^ ]+:(\d+),`)
	total, skipped := 0, 0
	for _, row := range readIndex(t) {
		if row.valid == "yes" {
			continue
		}
		if strings.Contains(row.reason, "no file exists") {
			skipped++
			continue
		}
		total++
		_, err := parseCorpusFile(t, row)
		if err == nil {
			t.Errorf("%s: accepted; the reference says %s", row.path, row.reason)
			continue
		}
		m := line.FindStringSubmatch(row.reason)
		if m == nil || !strings.Contains(err.Error(), ":"+m[1]+":") {
			t.Errorf("%s: %v\nthe reference says %s", row.path, err, row.reason)
		}
	}
	t.Logf("%d invalid files refused where the reference sees the fault; %d depend on missing files", total, skipped)
}

func TestCorpusValid(t *testing.T) {
	rows := readIndex(t)
	golden := readGolden(t)
	total, same := 0, 0
	for _, row := range rows {
		if row.valid != "yes" {
			continue
		}
		total++
		f, err := parseCorpusFile(t, row)
		if err != nil {
			t.Errorf("%s: %v", row.path, err)
			continue
		}
		f.Job.Canonicalize()
		if diff := compareJob(t, f, golden[row.path]); diff != "" {
			t.Errorf("%s: %s", row.path, diff)
			continue
		}
		same++
	}
	t.Logf("%d of %d valid files parse to the job of the golden file", same, total)
}

func compareJob(t *testing.T, f *File, want map[string]any) string {
	data, err := json.Marshal(f.Job)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	var diffs []string
	difference("Job", got, want, &diffs)
	if len(diffs) > 8 {
		diffs = diffs[:8]
	}
	return strings.Join(diffs, "\n    ")
}

// onPurpose are the differences from the reference's defaults, by path with
// indexes and keys left out, each with its reason. The function says whether
// the difference is the one meant.
var onPurpose = map[string]struct {
	reason string
	meant  func(got, want any) bool
}{
	"Job.NodePool": {"a server fills it in; Steppe does so everywhere",
		func(got, want any) bool { return got == "default" && want == "" }},
	"Job.Datacenters": {"a server fills it in; Steppe does so everywhere",
		func(got, want any) bool { return reflect.DeepEqual(got, []any{"*"}) && isEmpty(want) }},
	"Job.Reschedule.MaxDelay":                                             {"a block has all its defaults in the job too, not in the groups only", unset},
	"Job.Migrate.MaxParallel":                                             {"as Job.Reschedule.MaxDelay", unset},
	"Job.Migrate.HealthCheck":                                             {"as Job.Reschedule.MaxDelay", unset},
	"Job.Migrate.MinHealthyTime":                                          {"as Job.Reschedule.MaxDelay", unset},
	"Job.Migrate.HealthyDeadline":                                         {"as Job.Reschedule.MaxDelay", unset},
	"Job.TaskGroups.Tasks.Templates.Uid":                                  {"-1 stands for null: the task's user", minusOne},
	"Job.TaskGroups.Tasks.Templates.Gid":                                  {"-1 stands for null: the task's group", minusOne},
	"Job.TaskGroups.Tasks.ScalingPolicies.Enabled":                        {"enabled is true by default in a task's scaling block too, as documented", unset},
	"Job.Meta.run_uuid":                                                   {"uuidv4() is random", func(got, want any) bool { return len(got.(string)) == len(want.(string)) }},
	"Job.TaskGroups.Services.Connect.Gateway.Proxy.ConnectTimeout":        {noDefaults, missing},
	"Job.TaskGroups.Services.Connect.SidecarTask.KillTimeout":             {noDefaults, missing},
	"Job.TaskGroups.Services.Connect.SidecarTask.LogConfig.MaxFiles":      {noDefaults, missing},
	"Job.TaskGroups.Services.Connect.SidecarTask.LogConfig.MaxFileSizeMB": {noDefaults, missing},
	"Job.TaskGroups.Scaling.Target":                                       {"a server fills it in; Steppe does so everywhere", unset},
	"Job.TaskGroups.Tasks.ScalingPolicies.Target":                         {"a server fills it in; Steppe does so everywhere", unset},
}

const noDefaults = "connect is parsed to be refused by name; it gets no defaults"

func missing(got, _ any) bool     { return got == nil }
func unset(_, want any) bool      { return want == nil }
func minusOne(got, want any) bool { return got == -1.0 && want == nil }

func difference(at string, got, want any, diffs *[]string) {
	if isEmpty(got) && isEmpty(want) {
		return
	}
	if d, ok := onPurpose[shape(at)]; ok && d.meant(got, want) {
		return
	}
	g, gotMap := got.(map[string]any)
	w, wantMap := want.(map[string]any)
	if (gotMap || got == nil) && (wantMap || want == nil) {
		for k := range g {
			difference(at+"."+k, g[k], w[k], diffs)
		}
		for k := range w {
			if _, both := g[k]; !both {
				difference(at+"."+k, nil, w[k], diffs)
			}
		}
		return
	}
	gl, gotList := got.([]any)
	wl, wantList := want.([]any)
	if gotList && wantList && len(gl) == len(wl) {
		for i := range gl {
			difference(fmt.Sprintf("%s[%d]", at, i), gl[i], wl[i], diffs)
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		*diffs = append(*diffs, fmt.Sprintf("%s: got %s, want %s", at, short(got), short(want)))
	}
}

func short(v any) string {
	data, _ := json.Marshal(v)
	if len(data) > 200 {
		data = append(data[:200], "..."...)
	}
	return string(data)
}

func isEmpty(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Map:
		for _, e := range v.(map[string]any) {
			if !isEmpty(e) {
				return false
			}
		}
		return true
	case reflect.Slice:
		return r.Len() == 0
	}
	return r.IsZero()
}

// shape is a path without indexes.
func shape(at string) string {
	var b strings.Builder
	skip := false
	for _, r := range at {
		switch r {
		case '[':
			skip = true
		case ']':
			skip = false
		default:
			if !skip {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
