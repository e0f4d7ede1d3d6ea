package alloc

import (
	"context"
	"flag"
	"strconv"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// FS is "alloc fs".
var FS = &base.Command{
	Name: "alloc fs", Synopsis: "List or read the files of an allocation", Args: "ALLOC [PATH]", MinArgs: 1, MaxArgs: 2,
	Long:    "Lists a directory of an allocation, or prints a file. PATH is relative to the allocation's directory and cannot leave it.",
	Example: "steppe alloc fs 8f3a alloc/logs",
	New:     func() base.Runner { return &fsCmd{} },
}

type fsCmd struct{ stat, human, tail, follow, job bool }

func (f *fsCmd) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&f.stat, "stat", false, "Describe the file instead of printing it.")
	fs.BoolVar(&f.human, "H", false, "Print bytes as numbers instead of in units.")
	fs.BoolVar(&f.follow, "f", false, "Follow the file as it grows.")
	fs.BoolVar(&f.tail, "tail", false, "With -f, begin at the end.")
	fs.BoolVar(&f.job, "job", false, "The argument is a job: an allocation of it is chosen.")
}

func (f *fsCmd) Run(ctx context.Context, o *base.IO, args []string) error {
	a, err := (&logs{job: f.job}).alloc(ctx, o, args[0])
	if err != nil {
		return err
	}
	path := "/"
	if len(args) == 2 {
		path = args[1]
	}
	info, err := o.Client.Allocations().StatFile(ctx, a.ID, path)
	if err != nil {
		return err
	}
	switch {
	case f.stat:
		f.table(o, []api.FileInfo{info})
		return nil
	case info.IsDir:
		files, err := o.Client.Allocations().ListFiles(ctx, a.ID, path)
		if err != nil {
			return err
		}
		f.table(o, files)
		return nil
	case f.follow:
		origin := "start"
		if f.tail {
			origin = "end"
		}
		r, err := o.Client.Allocations().FollowFile(ctx, a.ID, path, origin, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		return copyOut(ctx, o, r)
	case f.tail:
		return model.Errorf(model.CodeInvalid, "-tail goes with -f")
	}
	r, err := o.Client.Allocations().ReadFile(ctx, a.ID, path)
	if err != nil {
		return err
	}
	defer r.Close()
	return copyOut(ctx, o, r)
}

func (f *fsCmd) table(o *base.IO, files []api.FileInfo) {
	var rows [][]string
	for _, i := range files {
		name, size := i.Name, strconv.FormatInt(i.Size, 10)
		if i.IsDir {
			name += "/"
		}
		if !f.human {
			size = base.Bytes(i.Size)
		}
		rows = append(rows, []string{i.FileMode, size, base.Time(i.ModTime), name})
	}
	o.Table([]string{"Mode", "Size", "Modified", "Name"}, rows)
}
