package job

import (
	"context"
	"flag"
	"strconv"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// History is "job history".
var History = &base.Command{
	Name: "job history", Synopsis: "List a job's versions", Args: "JOB", MinArgs: 1, MaxArgs: 1,
	Long:    "Newest first. With -p it is shown in what each differs from the one before it, or from the one that -diff-version or -diff-tag names; with -full or -json the versions are printed whole.",
	Example: "steppe job history web\nsteppe job history -p web\nsteppe job history -diff-tag golden web\nsteppe job history -full -version 3 web",
	New:     func() base.Runner { return &history{} },
}

type history struct {
	base.DataOptions
	version int
	full    bool
	diffs   bool
	base    int
	baseTag string
}

func (h *history) Flags(fs *flag.FlagSet) {
	h.DataFlags(fs)
	fs.IntVar(&h.version, "version", -1, "Show only this version, a `number`.")
	fs.BoolVar(&h.diffs, "p", false, "Show in what each version differs from the one before it.")
	fs.IntVar(&h.base, "diff-version", -1, "Show in what each version differs from this one, a `number`.")
	fs.StringVar(&h.baseTag, "diff-tag", "", "Show in what each version differs from the one of this `name`.")
	fs.BoolVar(&h.full, "full", false, "Print the versions whole, as JSON.")
}

func (h *history) Run(ctx context.Context, o *base.IO, args []string) error {
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	all, _, err := o.Client.Jobs().Versions(ctx, job.ID, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	if h.version >= 0 {
		v, err := pick(job.ID, all, uint64(h.version))
		if err != nil {
			return err
		}
		all = []*model.Job{v}
	}
	if h.base >= 0 && h.baseTag != "" {
		return model.Errorf(model.CodeInvalid, "-diff-version and -diff-tag cannot both be given")
	}
	h.diffs = h.diffs || h.base >= 0 || h.baseTag != ""
	if h.diffs && (h.full || h.JSON) {
		return model.Errorf(model.CodeInvalid, "differences are not printed with -full or -json: ask the API for diffs")
	}
	if h.diffs {
		return h.changes(ctx, o, job)
	}
	h.JSON = h.JSON || h.full
	if done, err := o.Data(h.DataOptions, all); done {
		return err
	}
	var rows [][]string
	for _, v := range all {
		groups := ""
		for i, g := range v.TaskGroups {
			if i > 0 {
				groups += " "
			}
			groups += g.Name + "=" + strconv.Itoa(g.Count)
		}
		rows = append(rows, []string{strconv.FormatUint(v.Version, 10), base.YesNo(v.Stable), base.Dash(tagOf(v)), base.Ago(v.SubmitTime), groups, base.YesNo(v.Stop)})
	}
	o.Table([]string{"Version", "Stable", "Tag", "Submitted", "Groups", "Stopped"}, rows)
	return nil
}

// tagOf is a version's name; "" for none.
func tagOf(v *model.Job) string {
	if v.VersionTag == nil {
		return ""
	}
	return v.VersionTag.Name
}

// changes prints each version with what it changed.
func (h *history) changes(ctx context.Context, o *base.IO, job *model.Job) error {
	q := &api.Query{Namespace: job.Namespace, Params: map[string]string{}}
	if h.base >= 0 {
		q.Params["diff_version"] = strconv.Itoa(h.base)
	}
	if h.baseTag != "" {
		q.Params["diff_tag"] = h.baseTag
	}
	all, diffs, _, err := o.Client.Jobs().VersionDiffs(ctx, job.ID, q)
	if err != nil {
		return err
	}
	for i, v := range all {
		if h.version >= 0 && v.Version != uint64(h.version) {
			continue
		}
		tag := ""
		if v.VersionTag != nil {
			tag = ", tag: " + base.Clean(v.VersionTag.Name)
		}
		o.Print("Version %d, %s, stable: %s%s", v.Version, base.Ago(v.SubmitTime), base.YesNo(v.Stable), tag)
		if i >= len(diffs) {
			o.Print("  the oldest that is kept\n")
			continue
		}
		d := &diffText{o: o}
		d.job(diffs[i])
		o.Print("%s", d.String())
	}
	return nil
}

// pick finds a version of a job.
func pick(id string, all []*model.Job, n uint64) (*model.Job, error) {
	for _, v := range all {
		if v.Version == n {
			return v, nil
		}
	}
	return nil, model.Errorf(model.CodeNotFound, "job %q has no version %d, or no more", id, n)
}
