package operator

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// FeatureList is "operator feature list".
var FeatureList = &base.Command{
	Name: "operator feature list", Synopsis: "Show which feature levels the cluster has, and could have",
	Long: "Servers of different versions work together at the level that all of them understand. A newer level is activated when no server " +
		"understands less any more; until then the older binary can be put back.",
	Example: "steppe operator feature list",
	New:     func() base.Runner { return &featureList{} },
}

type featureList struct{ base.DataOptions }

func (f *featureList) Flags(fs *flag.FlagSet) { f.DataFlags(fs) }

func (f *featureList) Run(ctx context.Context, o *base.IO, _ []string) error {
	r, err := o.Client.Cluster().Features(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(f.DataOptions, r); done {
		return err
	}
	since := "from the start"
	if r.ActivatedAt != 0 {
		since = base.Ago(r.ActivatedAt)
	}
	next := "none: this is the newest level"
	switch {
	case r.Possible > r.Active && len(r.HeldBy) > 0:
		next = fmt.Sprintf("%d, by hand: steppe operator feature activate (held by %s)", r.Possible, strings.Join(r.HeldBy, ", "))
	case r.Possible > r.Active:
		next = fmt.Sprintf("%d, by itself when all servers have been well for a while", r.Possible)
	case len(r.Lacking) > 0:
		next = "none yet: " + strings.Join(r.Lacking, ", ")
	}
	o.Fields("Level", fmt.Sprint(r.Active), "Activated", since, "Next", next)
	o.Title("Levels")
	var rows [][]string
	for _, l := range r.Levels {
		rows = append(rows, []string{fmt.Sprint(l.Level), l.Name, base.YesNo(l.Active), l.Text})
	}
	o.Table([]string{"Level", "Name", "Active", "What It Brings"}, rows)
	o.Title("Servers")
	rows = nil
	for _, s := range r.Servers {
		understands, by := "unknown", "itself"
		if s.Understands > 0 {
			understands = fmt.Sprint(s.Understands)
		}
		if s.Holds {
			by = "hand"
		}
		name := s.Name
		if name == "" {
			name = s.ID
		}
		rows = append(rows, []string{name, s.Status, base.YesNo(s.Member), understands, by})
	}
	o.Table([]string{"Name", "Status", "Member", "Understands", "Activates By"}, rows)
	return nil
}

// FeatureActivate is "operator feature activate".
var FeatureActivate = &base.Command{
	Name: "operator feature activate", Synopsis: "Activate a feature level that all servers understand",
	Long: "There is no way back: a server with an older binary, which does not understand the level, then refuses to start. Without -level it " +
		"is the newest level that all servers understand. The leader does this by itself unless a server says feature_activation = \"manual\".",
	Example: "steppe operator feature activate",
	New:     func() base.Runner { return &featureActivate{} },
}

type featureActivate struct{ level int }

func (f *featureActivate) Flags(fs *flag.FlagSet) {
	fs.IntVar(&f.level, "level", 0, "The `level` to activate.")
}

func (f *featureActivate) Run(ctx context.Context, o *base.IO, _ []string) error {
	if f.level < 0 {
		return model.Errorf(model.CodeInvalid, "-level %d: levels start at 1; see steppe operator feature list", f.level)
	}
	level, err := o.Client.Cluster().ActivateFeature(ctx, f.level)
	if err != nil {
		return err
	}
	o.Say("Feature level %d is active", level)
	return nil
}
