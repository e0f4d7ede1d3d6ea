// Package job holds the verbs on jobs. The verbs that change a job follow what
// becomes of it:
//
//	read   watchers wake, then evaluations, job and allocations of one moment are read
//	 │
//	measure   pure: what each instance is on its way to the goal, and whether to go on
//	 │
//	display   in place on a terminal, else a line for every change
//	 │
//	conclude  why it ended, what would help, the exit code
//
// Invariants: what is shown is never older than what was concluded from it;
// servers that do not answer for a while end nothing; following never changes
// the job.
package job

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/steppe-project/steppe/api/jobspec"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
)

// fileOptions say how a job file is read.
type fileOptions struct {
	vars, varFiles base.Strings
	json           bool
	strict         bool
}

func (f *fileOptions) register(fs *flag.FlagSet) {
	fs.Var(&f.vars, "var", "A variable's `name=value`; may be given many times. Wins over files, and these over the environment (STEPPE_VAR_name).")
	fs.Var(&f.varFiles, "var-file", "A `file` with name = value lines; may be given many times, later ones win.")
	fs.BoolVar(&f.json, "json", false, "The file is the API's JSON: a job, or {\"Job\": ...}. Without the option it is recognised too.")
	fs.BoolVar(&f.strict, "hcl2-strict", true, "A value for a variable that the file does not declare is an error; =false makes it a warning.")
}

// loaded is a job read from a file.
type loaded struct {
	job        *model.Job
	file       *jobspec.File // nil for API JSON
	submission *model.JobSubmission
	warnings   []string
	region     string // that the file names; "" for none
}

// load reads the job file at path ("-" = standard input).
func (f *fileOptions) load(in io.Reader, path string) (*loaded, error) {
	name := path
	if path == "-" {
		name = "stdin"
	}
	src, err := readSource(in, path, name)
	if err != nil {
		return nil, err
	}
	if f.json || isAPIJSON(src) {
		return fromJSON(name, src)
	}
	opts := jobspec.Options{Vars: f.vars, Env: os.Environ(), AllowFS: true, Strict: f.strict}
	var texts []string
	for _, v := range f.varFiles {
		data, err := readSource(nil, v, v)
		if err != nil {
			return nil, err
		}
		opts.VarFiles = append(opts.VarFiles, jobspec.Source{Name: v, Data: data})
		texts = append(texts, string(data))
	}
	parsed, err := jobspec.Parse(name, src, opts)
	if err != nil {
		return nil, err
	}
	flags := map[string]string{}
	for _, v := range f.vars {
		k, val, _ := strings.Cut(v, "=")
		flags[k] = val
	}
	region := ""
	if parsed.Positions.Has(string(model.JobPath.Attr("region"))) {
		region = parsed.Job.Region
	}
	canonicalize(parsed.Job)
	return &loaded{
		job: parsed.Job, file: parsed, warnings: parsed.Warnings, region: region,
		submission: &model.JobSubmission{Source: string(src), Format: "hcl2", VariableFlags: flags, Variables: strings.Join(texts, "\n")},
	}, nil
}

// canonicalize leaves open the node pool of a job that names none: its namespace has a
// default.
func canonicalize(job *model.Job) {
	pool := job.NodePool
	job.Canonicalize()
	job.NodePool = pool
}

// readSource reads a file, or standard input for "-", up to what a job file may
// have; the rest of a larger one is not even read.
func readSource(in io.Reader, path, name string) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return nil, model.Errorf(model.CodeInvalid, "%w", err)
		}
		defer f.Close()
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, jobspec.MaxSourceBytes+1))
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "reading %s: %w", name, err)
	}
	if len(src) > jobspec.MaxSourceBytes {
		return nil, model.Errorf(model.CodeInvalid, "%s is too large: a job file has at most %s", name, humanize.IBytes(jobspec.MaxSourceBytes))
	}
	return src, nil
}

// isAPIJSON tells the API's JSON from a job file in HCL's JSON form, which has a
// "job" at its top.
func isAPIJSON(src []byte) bool {
	if !bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) {
		return false
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(src, &top) != nil {
		return false
	}
	_, wrapped := top["Job"]
	_, groups := top["TaskGroups"]
	return wrapped || groups
}

func fromJSON(name string, src []byte) (*loaded, error) {
	var wrapped struct{ Job json.RawMessage }
	body := src
	if err := json.Unmarshal(src, &wrapped); err == nil && len(wrapped.Job) > 0 {
		body = wrapped.Job
	}
	job, warnings, err := model.DecodeJob(body)
	if err != nil {
		return nil, model.Errorf(model.CodeOf(err), "%s: %w", name, err)
	}
	// "global" in API JSON is what clients fill in for a job that names no region.
	region := job.Region
	if region == model.DefaultRegion {
		region = ""
	}
	canonicalize(job)
	return &loaded{job: job, warnings: warnings, region: region, submission: &model.JobSubmission{Source: string(src), Format: "json"}}, nil
}

// check says the warnings, and finds what would be refused, with places in the
// file.
func (l *loaded) check(o *base.IO) error {
	for _, w := range l.warnings {
		o.Say("%s %s", o.Paint(base.Yellow, "Warning:"), w)
	}
	job := *l.job
	job.NodePool = cmp.Or(job.NodePool, model.DefaultNodePool)
	problems := rules.Problems(&job)
	if len(problems) == 0 {
		return nil
	}
	if l.file != nil {
		return &base.Exit{Code: base.ExitError, Text: l.file.Positions.Annotate(problems).Error()}
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return &base.Exit{Code: base.ExitError, Text: strings.Join(lines, "\n")}
}
