package model

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Limits of a job's parts.
const (
	MinPriority = 1
	MaxPriority = 100
	// MaxCount bounds one group: a plan places it as one log entry.
	MaxCount = 100_000
	// MaxGroups and MaxTasks bound what one allocation or evaluation holds.
	MaxGroups = 1000
	MaxTasks  = 1000
	// MaxNameLength keeps names usable as a file name with a suffix.
	MaxNameLength = 128
	// maxAmount bounds MHz and MB so that sums over MaxCount fit in 63 bits.
	maxAmount = 1 << 30
	// maxProblems bounds what one validation reports.
	maxProblems = 100
	// minMemoryMB is the least that a Linux process can start in.
	minMemoryMB = 10
	// minRestartInterval keeps a broken task from spinning.
	minRestartInterval = 5 * time.Second
	// minDelay of a reschedule keeps a broken job from spinning over the cluster.
	minDelay = 5 * time.Second
	// minCheck is the least interval and timeout of a check.
	minCheck     = time.Second
	maxPlainName = 128 // of the names of pools, namespaces and services
)

var interpolation = regexp.MustCompile(`\$\{[^}]*\}`)

// PlainName reports whether s is 1 to most letters, digits and bytes of also. No
// regular expression, because each process of this program, the short-lived ones
// too, would compile it at its start.
func PlainName(s string, most int, also string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(also, c) >= 0) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= most
}

// validator collects problems.
type validator struct {
	job      *Job
	problems []Problem
}

// Validate finds everything that must be refused in a canonical job, whatever
// the version of Steppe. See Unsupported for what this version does not act on.
func Validate(j *Job) []Problem {
	v := &validator{job: j}
	v.jobNames(j)
	v.jobKind(j)
	p := JobPath
	v.constraints(p, "", j.Constraints)
	v.affinities(p, j.Affinities)
	v.spreads(p, j.Spreads)
	v.update(p, j.Update)
	v.keyValues(p.Attr("meta"), j.Meta)
	if len(j.TaskGroups) == 0 {
		v.add(p, "write a group block with a task in it", "Missing job task groups")
	}
	if len(j.TaskGroups) > MaxGroups {
		v.add(p, "", "%d groups are too many; at most %d", len(j.TaskGroups), MaxGroups)
		return v.problems
	}
	seen := map[string]int{}
	for _, g := range j.TaskGroups {
		gp := labelled(p, "group", g.Name, seen)
		if seen[g.Name] > 1 {
			v.add(gp, "", "the group name %q is used twice", g.Name)
		}
		v.group(gp, g)
	}
	return v.problems
}

// ProblemsError is one Error (CodeInvalid) of all problems in the form that API
// clients know, or nil when there are none.
func ProblemsError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	noun := "errors"
	if len(problems) == 1 {
		noun = "error"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s occurred:\n", len(problems), noun)
	for _, p := range problems {
		if p.Path == string(JobPath) {
			p.Path = "" // clients know the job's own problems without a place
		}
		fmt.Fprintf(&b, "\t* %s\n", p)
	}
	b.WriteByte('\n')
	return &Error{Code: CodeInvalid, Message: b.String()}
}

func (v *validator) add(at Path, hint, format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, Problem{Path: string(at), Message: fmt.Sprintf(format, args...), Hint: hint})
	}
}

// labelled is the path of the next block with a label; seen counts them.
func labelled(p Path, block, label string, seen map[string]int) Path {
	seen[label]++
	return p.Label(block, label).Occurrence(seen[label])
}

func (v *validator) jobNames(j *Job) {
	p := JobPath
	if j.ID == "" {
		v.add(p, "", "Missing job ID")
	} else {
		v.text(p.Attr("id"), "job ID", j.ID)
		if strings.ContainsFunc(j.ID, unicode.IsSpace) {
			v.add(p.Attr("id"), "", "the job ID %q contains a space", shorten(j.ID))
		}
		if escapes(j.ID) || strings.HasPrefix(j.ID, "/") {
			v.add(p.Attr("id"), "", "the job ID %q must not be a path out of its place", shorten(j.ID))
		}
	}
	if j.Name == "" {
		v.add(p, "", "Missing job name")
	}
	if j.Name != j.ID {
		v.text(p.Attr("name"), "job name", j.Name)
	}
	if j.Region == "" {
		v.add(p, "", "Missing job region")
	}
	v.text(p.Attr("region"), "region", j.Region)
	if !PlainName(j.Namespace, maxPlainName, "-") {
		v.add(p.Attr("namespace"), "letters, digits and -, at most 128", "%q is not a namespace name", shorten(j.Namespace))
	}
	if !PlainName(j.NodePool, maxPlainName, "_-") {
		v.add(p.Attr("node_pool"), "letters, digits, - and _, at most 128", "%q is not a node pool name", shorten(j.NodePool))
	}
	if len(j.Datacenters) == 0 {
		v.add(p, `datacenters = ["*"] means any`, "Missing job datacenters")
	}
	for _, dc := range j.Datacenters {
		if dc == "" {
			v.add(p.Attr("datacenters"), `"*" means any`, "a datacenter name is empty")
		}
		if _, err := path.Match(dc, ""); err != nil {
			v.add(p.Attr("datacenters"), "", "%q is not a valid pattern", shorten(dc))
		}
		v.text(p.Attr("datacenters"), "datacenter", dc)
	}
}

// jobKind checks what depends on the job's type.
func (v *validator) jobKind(j *Job) {
	p := JobPath
	if j.Priority < MinPriority || j.Priority > MaxPriority {
		v.add(p.Attr("priority"), "", "Job priority must be between [%d, %d], not %d", MinPriority, MaxPriority, j.Priority)
	}
	batch := j.Type == JobTypeBatch || j.Type == JobTypeSysbatch
	switch {
	case j.Type == "":
		v.add(p, "", "Missing job type")
	case !batch && j.Type != JobTypeService && j.Type != JobTypeSystem:
		v.add(p.Attr("type"), "service, batch, system or sysbatch", "Invalid job type: %q", shorten(j.Type))
	}
	if batch && j.Update != nil {
		v.add(p.Attr("update"), "delete the block", "%s jobs have no rolling updates", j.Type)
	}
	if !reschedules(j.Type) && j.Reschedule != nil {
		v.add(p.Attr("reschedule"), "delete the block", "%s jobs are not rescheduled", j.Type)
	}
}

func (v *validator) group(p Path, g *TaskGroup) {
	v.name(p, "group", g.Name)
	switch {
	case g.Count < 0:
		v.add(p.Attr("count"), "", "count must not be negative, but is %d", g.Count)
	case g.Count > MaxCount:
		v.add(p.Attr("count"), "", "count must be at most %d, but is %d", MaxCount, g.Count)
	case g.Count > 1 && !reschedules(v.job.Type):
		v.add(p.Attr("count"), "delete count", "a %s job runs once on every node: count cannot be %d", v.job.Type, g.Count)
	}
	v.constraints(p, "", g.Constraints)
	v.affinities(p, g.Affinities)
	v.spreads(p, g.Spreads)
	v.keyValues(p.Attr("meta"), g.Meta)
	if !same(g.Update, v.job.Update) { // else told once, at the job
		v.update(p, g.Update)
	}
	v.restart(p.Attr("restart"), g.RestartPolicy)
	v.reschedule(p.Attr("reschedule"), g.ReschedulePolicy)
	v.notNegative(p.Attr("shutdown_delay"), g.ShutdownDelay)
	v.notNegative(p.Attr("stop_after_client_disconnect"), g.StopAfterClientDisconnect)
	if d := g.EphemeralDisk; d != nil {
		v.amount(p.Attr("ephemeral_disk").Attr("size"), d.SizeMB, 0, "MB")
	}
	labels := v.networks(p, g)
	v.services(p, g, nil, g.Services, labels)
	v.tasks(p, g, labels)
}

// name checks a group's, task's or port's name; it becomes part of file names.
func (v *validator) name(p Path, what, name string) {
	switch {
	case name == "":
		v.add(p, "", "a %s has no name", what)
	case strings.ContainsAny(name, "/\\"):
		v.add(p, "", "the %s name %q must not contain a slash", what, shorten(name))
	case name == "." || name == "..":
		v.add(p, "", "%q is not a %s name", name, what)
	default:
		v.text(p, what+" name", name)
	}
}

// text refuses control characters and excess length.
func (v *validator) text(p Path, what, s string) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		v.add(p, "", "the %s %q contains a control character", what, shorten(s))
	}
	if len(s) > MaxNameLength {
		v.add(p, "", "the %s is %d bytes long; at most %d", what, len(s), MaxNameLength)
	}
}

// keyValues checks a map of env or meta.
func (v *validator) keyValues(p Path, m map[string]string) {
	for _, k := range sortedKeys(m) {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			v.add(p, "", "%q cannot be a key: it is empty or contains = or NUL", shorten(k))
		}
		if strings.ContainsRune(m[k], 0) {
			v.add(p.Key(k), "", "the value of %q contains NUL", shorten(k))
		}
	}
}

func (v *validator) oneOf(p Path, got string, allowed ...string) {
	for _, a := range allowed {
		if got == a {
			return
		}
	}
	names := strings.TrimPrefix(strings.Join(allowed, ", "), ", ")
	v.add(p, "one of: "+names, "%q is not a valid value", shorten(got))
}

func (v *validator) notNegative(p Path, d time.Duration) {
	if d < 0 {
		v.add(p, "", "must not be negative, but is %s", d)
	}
}

func (v *validator) amount(p Path, n, least int, unit string) {
	if n < least || n > maxAmount {
		v.add(p, "", "must be %d to %d %s, but is %d", least, maxAmount, unit, n)
	}
}

// same says whether a block is what it inherits from.
func same[T comparable](a, b *T) bool { return a != nil && b != nil && *a == *b }

// escapes says whether a relative path leads out of its directory.
func escapes(p string) bool {
	clean := path.Clean(p)
	return clean == ".." || strings.HasPrefix(clean, "../")
}

// interpolated says whether a value is known only on the node.
func interpolated(s string) bool { return strings.Contains(s, "${") }
