package job

import (
	"flag"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// File reads job files for commands elsewhere, as job run does.
type File struct{ options fileOptions }

// Register registers the options on how job files are read. -json is the command's
// own: the API's JSON is recognised.
func (f *File) Register(fs *flag.FlagSet) {
	fs.Var(&f.options.vars, "var", "A variable's `name=value` for job files; may be given many times.")
	fs.Var(&f.options.varFiles, "var-file", "A `file` with name = value lines for job files; may be given many times, later ones win.")
	f.options.strict = true
}

// Load reads the job file at path, and finds what would be refused.
func (f *File) Load(o *base.IO, path string) (*model.Job, error) {
	l, err := f.options.load(o.In, path)
	if err != nil {
		return nil, err
	}
	if err := l.check(o); err != nil {
		return nil, err
	}
	return l.job, nil
}
