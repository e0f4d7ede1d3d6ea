package job

import (
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
)

// bounds shows the groups that run as a whole or not at all, or for a bounded time.
func bounds(o *base.IO, job *model.Job) {
	var rows [][]string
	for _, g := range job.TaskGroups {
		row := []string{g.Name, "no", "-", "-"}
		if g.Gang != nil {
			row[1], row[2] = "yes", deadline.Text(g.Gang.MaxPartial)
		}
		if g.MaxRunDuration > 0 {
			row[3] = deadline.Text(g.MaxRunDuration)
		}
		if g.Gang != nil || g.MaxRunDuration > 0 {
			rows = append(rows, row)
		}
	}
	if len(rows) > 0 {
		o.Title("Bounds")
		o.Table([]string{"Task Group", "All or None", "Max Partial", "Max Run Duration"}, rows)
	}
}
