package jobspec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
)

// seeds are job files that between them use most of the language.
func seeds(f *testing.F) [][]byte {
	files, err := filepath.Glob("testdata/seeds/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	var all [][]byte
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// FuzzParse: no text makes the parser panic, and what it accepts can be made
// canonical, validated, explained, and sent as JSON without change.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := Parse("job.hcl", src, Options{Vars: []string{"x=1"}})
		if err != nil {
			if model.CodeOf(err) != model.CodeInvalid || err.Error() == "" {
				t.Fatalf("%s: %v", model.CodeOf(err), err)
			}
			return
		}
		checkJob(t, file.Job)
		problems := rules.Problems(file.Job)
		if err := file.Positions.Annotate(problems); (err == nil) != (len(problems) == 0) {
			t.Fatal(err)
		}
	})
}

// FuzzParseJSON: the same of the JSON form.
func FuzzParseJSON(f *testing.F) {
	for _, s := range seeds(f) {
		if file, err := Parse("seed", s, Options{Vars: []string{"x=1"}}); err == nil {
			data, err := json.Marshal(map[string]any{"Job": file.Job})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(`{"ID":"a","TaskGroups":[{"Name":"g","Count":0}]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		job, _, err := ParseJSON(src)
		if err == nil {
			checkJob(t, job)
		}
	})
}

func checkJob(t *testing.T, j *model.Job) {
	j.Canonicalize()
	rules.Problems(j)
	data, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > model.MaxJobBytes {
		return
	}
	back, _, err := model.DecodeJob(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(data) {
		t.Fatalf("%v\nbefore %s\nafter  %s", err, data, again)
	}
}

// FuzzVarFile: variable files and flags.
func FuzzVarFile(f *testing.F) {
	f.Add([]byte("x = 1\ny = [\"${NOMAD_ALLOC_ID}\"]\n"), "z=[1, 2]")
	f.Add([]byte(`{"x": {"a": "${upper(\"b\")}"}}`), `z=["a"]`)
	f.Add([]byte("x = <<EOF\n%{ for a in [1] }${a}%{ endfor }\nEOF\n"), "z=")
	src := []byte(`variable "x" {}
variable "y" { default = null }
variable "z" { type = list(string) }
job "a" {
  meta = { x = jsonencode(var.x), y = jsonencode(var.y), z = jsonencode(var.z) }
}`)
	f.Fuzz(func(t *testing.T, data []byte, flag string) {
		file, err := Parse("job.hcl", src, Options{VarFiles: []Source{{Name: "a.vars", Data: data}}, Vars: []string{flag}})
		if err == nil {
			checkJob(t, file.Job)
		}
	})
}
