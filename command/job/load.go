// Package job holds the verbs on jobs.
package job

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/steppe-project/steppe/api/jobspec"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// fileOptions say how a job file is read.
type fileOptions struct {
	vars, varFiles base.Strings
	json           bool
	strict         bool
}

func (f *fileOptions) register(fs *flag.FlagSet) {
	fs.Var(&f.vars, "var", "`name=value` of a variable; may be given many times. Wins over files and environment (STEPPE_VAR_name).")
	fs.Var(&f.varFiles, "var-file", "`file` with name = value lines; may be given many times, later ones win.")
	fs.BoolVar(&f.json, "json", false, "The file is the API's JSON: a job, or {\"Job\": ...}.")
	fs.BoolVar(&f.strict, "hcl2-strict", true, "A value for a variable that the file does not declare is an error.")
}

// loaded is a job read from a file.
type loaded struct {
	job        *model.Job
	file       *jobspec.File // nil for API JSON
	submission *model.JobSubmission
	warnings   []string
}

// load reads the job file at path ("-" = standard input).
func (f *fileOptions) load(in io.Reader, path string) (*loaded, error) {
	src, err := read(in, path)
	if err != nil {
		return nil, err
	}
	if f.json {
		return fromJSON(src)
	}
	opts := jobspec.Options{Vars: f.vars, Env: os.Environ(), AllowFS: true, Strict: f.strict}
	var texts []string
	for _, v := range f.varFiles {
		data, err := read(nil, v)
		if err != nil {
			return nil, err
		}
		opts.VarFiles = append(opts.VarFiles, jobspec.Source{Name: v, Data: data})
		texts = append(texts, string(data))
	}
	name := path
	if path == "-" {
		name = "stdin"
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
	l := &loaded{job: parsed.Job, file: parsed, warnings: parsed.Warnings}
	l.submission = &model.JobSubmission{Source: string(src), Format: "hcl2", VariableFlags: flags, Variables: strings.Join(texts, "\n")}
	l.job.Canonicalize()
	return l, nil
}

func read(in io.Reader, path string) ([]byte, error) {
	if path == "-" {
		src, err := io.ReadAll(io.LimitReader(in, jobspec.MaxSourceBytes+1))
		if err != nil {
			return nil, model.Errorf(model.CodeInvalid, "reading standard input: %w", err)
		}
		return src, nil
	}
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "%w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, jobspec.MaxSourceBytes+1))
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "%w", err)
	}
	return src, nil
}

func fromJSON(src []byte) (*loaded, error) {
	var wrapped struct{ Job json.RawMessage }
	body := src
	if err := json.Unmarshal(src, &wrapped); err == nil && len(wrapped.Job) > 0 {
		body = wrapped.Job
	}
	job, warnings, err := model.DecodeJob(body)
	if err != nil {
		return nil, err
	}
	job.Canonicalize()
	return &loaded{job: job, warnings: warnings, submission: &model.JobSubmission{Source: string(src), Format: "json"}}, nil
}

// check finds what would be refused, with places in the file.
func (l *loaded) check() error {
	problems := append(model.Validate(l.job), model.Unsupported(l.job)...)
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
