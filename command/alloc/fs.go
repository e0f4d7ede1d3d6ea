package alloc

import (
	"context"
	"flag"
	"io"
	"strconv"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// FS is "alloc fs".
var FS = &base.Command{
	Name: "alloc fs", Synopsis: "List or read the files of an allocation", Args: "ALLOC [PATH]", MinArgs: 1, MaxArgs: 2,
	Long:    "Lists a directory of an allocation, or prints a file. PATH is relative to the allocation's directory and cannot leave it. With -job the first argument is a job, of which an allocation is chosen: of those that run the newest.",
	Example: "steppe alloc fs 8f3a alloc/logs\nsteppe alloc fs -f -n 20 8f3a alloc/data/access.log",
	New:     func() base.Runner { return &fsCmd{} },
}

type fsCmd struct {
	tail
	stat, machine, job bool
}

func (f *fsCmd) Flags(fs *flag.FlagSet) {
	f.tail.Flags(fs)
	fs.BoolVar(&f.stat, "stat", false, "Describe the file instead of printing it.")
	fs.BoolVar(&f.machine, "H", false, "Print sizes in bytes instead of in units.")
	fs.BoolVar(&f.job, "job", false, "The first argument is a job.")
}

func (f *fsCmd) Run(ctx context.Context, o *base.IO, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	a, err := allocOf(ctx, o, args[0], f.job)
	if err != nil {
		return err
	}
	path := "/"
	if len(args) == 2 {
		path = args[1]
	}
	calls := o.Client.Allocations()
	info, err := calls.StatFile(ctx, a.ID, path)
	if err != nil {
		return err
	}
	switch {
	case f.stat:
		f.table(o, []api.FileInfo{info})
		return nil
	case info.IsDir && (f.follow || f.lines > 0 || f.bytes > 0):
		return model.Errorf(model.CodeInvalid, "%s is a directory: -f, -tail, -n and -c are for files", path)
	case info.IsDir:
		files, err := calls.ListFiles(ctx, a.ID, path)
		if err != nil {
			return err
		}
		f.table(o, files)
		return nil
	}
	return f.print(ctx, o, func(ctx context.Context, follow bool, fromEnd int64) (io.ReadCloser, error) {
		switch {
		case follow && fromEnd > 0:
			return calls.FollowFile(ctx, a.ID, path, "end", fromEnd)
		case follow:
			return calls.FollowFile(ctx, a.ID, path, "start", 0)
		case fromEnd > 0:
			return calls.ReadFileAt(ctx, a.ID, path, max(info.Size-fromEnd, 0), fromEnd)
		}
		return calls.ReadFile(ctx, a.ID, path)
	})
}

func (f *fsCmd) table(o *base.IO, files []api.FileInfo) {
	var rows [][]string
	for _, i := range files {
		name, size := i.Name, base.Bytes(i.Size)
		if i.IsDir {
			name += "/"
		}
		if f.machine {
			size = strconv.FormatInt(i.Size, 10)
		}
		rows = append(rows, []string{i.FileMode, size, base.Time(i.ModTime), name})
	}
	o.Table([]string{"Mode", "Size", "Modified", "Name"}, rows)
}
