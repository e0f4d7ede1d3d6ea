// Package deployment holds the verbs on deployments, and how one is shown.
package deployment

import (
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// Table prints deployments as rows.
func Table(o *base.IO, list []*model.Deployment, verbose bool) {
	var rows [][]string
	for _, d := range list {
		rows = append(rows, []string{
			base.ShortID(d.ID, verbose), d.JobID, d.Namespace, strconv.FormatUint(d.JobVersion, 10), d.Status, base.Ago(d.CreateTime), d.StatusDescription,
		})
	}
	o.Table([]string{"ID", "Job ID", "Namespace", "Version", "Status", "Created", "Description"}, rows)
}

// Show prints a deployment with its groups.
func Show(o *base.IO, d *model.Deployment, verbose bool) {
	o.Fields(
		"ID", base.ShortID(d.ID, verbose), "Job ID", d.JobID, "Job Version", strconv.FormatUint(d.JobVersion, 10),
		"Namespace", d.Namespace, "Status", d.Status, "Description", d.StatusDescription,
	)
	o.Title("Groups")
	Groups(o, d)
}

// Groups prints a row for each group of a deployment.
func Groups(o *base.IO, d *model.Deployment) {
	rows := rows(d)
	o.Table(rows[0], rows[1:])
}

// rows are a header and a row for each group, with columns for what the deployment has.
func rows(d *model.Deployment) [][]string {
	canaries, reverts := false, false
	for _, s := range d.TaskGroups {
		canaries, reverts = canaries || s.DesiredCanaries > 0, reverts || s.AutoRevert
	}
	header := []string{"Task Group"}
	if reverts {
		header = append(header, "Auto Revert")
	}
	if canaries {
		header = append(header, "Promoted", "Canaries")
	}
	out := [][]string{append(header, "Desired", "Placed", "Healthy", "Unhealthy", "Progress Deadline")}
	for _, name := range deploy.Groups(d) {
		s := d.TaskGroups[name]
		row := []string{name}
		if reverts {
			row = append(row, base.YesNo(s.AutoRevert))
		}
		if canaries {
			promoted := base.YesNo(s.Promoted)
			if s.DesiredCanaries == 0 {
				promoted = "-"
			}
			row = append(row, promoted, strconv.Itoa(s.DesiredCanaries))
		}
		deadline := "none"
		if !s.RequireProgressBy.IsZero() {
			deadline = base.Time(s.RequireProgressBy)
		}
		out = append(out, append(row, strconv.Itoa(s.DesiredTotal), strconv.Itoa(s.PlacedAllocs), strconv.Itoa(s.HealthyAllocs), strconv.Itoa(s.UnhealthyAllocs), deadline))
	}
	return out
}

// barWidth is how many characters a group's bar has.
const barWidth = 20

// Lines are what a terminal shows of a deployment: a bar for each group.
func Lines(d *model.Deployment, now time.Time) []base.Line {
	width := 0
	for _, name := range deploy.Groups(d) {
		width = max(width, len(base.Clean(name)))
	}
	var out []base.Line
	for _, name := range deploy.Groups(d) {
		s := d.TaskGroups[name]
		l := base.Line{Text: fmt.Sprintf("%-*s  ", width, base.Clean(name)), Tail: progress(s, now), Color: base.Yellow}
		switch {
		case s.UnhealthyAllocs > 0:
			l.Color = base.Red
		case deploy.Done(s):
			l.Color = base.Green
		}
		out = append(out, l)
	}
	return out
}

// progress is a group's bar and counts.
func progress(s *model.DeploymentState, now time.Time) string {
	want := max(s.DesiredTotal, 1)
	if deploy.Waits(s) {
		want = s.DesiredCanaries
	}
	full := min(barWidth, s.HealthyAllocs*barWidth/want)
	bar := make([]byte, barWidth)
	for i := range bar {
		if bar[i] = '.'; i < full {
			bar[i] = '#'
		}
	}
	return "[" + string(bar) + "] " + Counts(s, now)
}

// Counts is a group's progress in words; now zero leaves out how long it may take.
func Counts(s *model.DeploymentState, now time.Time) string {
	text := fmt.Sprintf("%d of %d healthy, %d placed", s.HealthyAllocs, s.DesiredTotal, s.PlacedAllocs)
	if deploy.Waits(s) {
		text = fmt.Sprintf("%d canaries of %d, %d healthy", len(s.PlacedCanaries), s.DesiredCanaries, s.HealthyAllocs)
	}
	if s.UnhealthyAllocs > 0 {
		text += fmt.Sprintf(", %d unhealthy", s.UnhealthyAllocs)
	}
	if left := s.RequireProgressBy.Sub(now); !now.IsZero() && !s.RequireProgressBy.IsZero() && !deploy.Done(s) && left > 0 {
		text += ", progress within " + base.Age(left.Round(time.Second))
	}
	return text
}
