package jobspec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
)

// TestScenarios runs testdata/*.txt. Commands:
//
//	file name=x          the input becomes a variable file for the next parse
//	parse var=(a=1,...) env=(A=1,...) strict
//	                     parses the input; prints warnings and "ok", or the error
//	json                 as parse, of the JSON form of a job
//	show TaskGroups.0.Count ...
//	                     prints parts of the last job, as JSON
//	check                canonicalizes and validates the last job and prints the
//	                     problems at their places
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

type scenario struct {
	files []Source
	file  *File
	job   *model.Job
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "file":
		var name string
		d.ScanArgs(t, "name", &name)
		s.files = append(s.files, Source{Name: name, Data: []byte(d.Input)})
		return ""
	case "parse":
		return s.parse(d)
	case "json":
		job, warnings, err := ParseJSON([]byte(d.Input))
		s.job, s.file = job, nil
		return outcome(warnings, err)
	case "show":
		var b strings.Builder
		for _, a := range d.CmdArgs {
			fmt.Fprintf(&b, "%s: %s\n", a.Key, part(t, s.job, a.Key))
		}
		return b.String()
	case "check":
		if s.file == nil {
			return "no job"
		}
		s.job.Canonicalize()
		problems := rules.Problems(s.job)
		return outcome(nil, s.file.Positions.Annotate(problems))
	}
	return "unknown command"
}

func (s *scenario) parse(d *datadriven.TestData) string {
	opts := Options{VarFiles: s.files}
	s.files = nil
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "var":
			opts.Vars = a.Vals
		case "env":
			opts.Env = a.Vals
		case "strict":
			opts.Strict = true
		case "fs":
			opts.AllowFS = true
		}
	}
	f, err := Parse("job.hcl", []byte(d.Input), opts)
	if err != nil {
		s.file, s.job = nil, nil
		return outcome(nil, err)
	}
	s.file, s.job = f, f.Job
	return outcome(f.Warnings, nil)
}

func outcome(warnings []string, err error) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if err != nil {
		return b.String() + strings.TrimRight(err.Error(), "\n") + "\n"
	}
	return b.String() + "ok\n"
}

// part is the JSON of a job's part: TaskGroups.0.Name.
func part(t *testing.T, j *model.Job, path string) string {
	data, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	for step := range strings.SplitSeq(path, ".") {
		if list, ok := v.([]any); ok {
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(list) {
				return "no " + step
			}
			v = list[i]
			continue
		}
		m, _ := v.(map[string]any)
		v = m[step]
	}
	data, err = json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
