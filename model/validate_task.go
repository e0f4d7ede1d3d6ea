package model

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// MaxPort is the largest port number.
const MaxPort = 65535

// UnlimitedMemory as memory_max lets a task use all of the node's memory.
const UnlimitedMemory = -1

// maxPortLabel bounds a port's label, in bytes.
const maxPortLabel = 64

var filePerms = regexp.MustCompile(`^[0-7]{3,4}$`)

// networks checks a group's networks and returns the labels of its ports.
func (v *validator) networks(p Path, g *TaskGroup) map[string]bool {
	if len(g.Networks) > 1 {
		v.add(p.Index("network", 1), "ports choose among the node's networks with host_network", "a group has at most one network block")
	}
	labels, statics := map[string]bool{}, map[string]string{}
	for i, n := range g.Networks {
		np := p.Index("network", i)
		for _, port := range n.ReservedPorts {
			pp := v.port(np, port, labels)
			if port.Value < 1 || port.Value > MaxPort {
				v.add(pp.Attr("static"), "", "a port must be 1 to %d, not %d", MaxPort, port.Value)
			}
			key := port.HostNetwork + ":" + strconv.Itoa(port.Value)
			if other, taken := statics[key]; taken && !port.IgnoreCollision {
				v.add(pp.Attr("static"), "", "the port %d is also asked for by %q", port.Value, other)
			}
			statics[key] = port.Label
		}
		for _, port := range n.DynamicPorts {
			pp := v.port(np, port, labels)
			if port.Value != 0 {
				v.add(pp.Attr("static"), "", "a dynamic port has no number of its own, but is %d", port.Value)
			}
		}
	}
	return labels
}

func (v *validator) port(p Path, port Port, labels map[string]bool) Path {
	pp := p.Label("port", port.Label)
	if !PlainName(port.Label, maxPortLabel, "_-") {
		v.add(pp, "letters, digits, - and _, at most 64", "%q is not a port label", shorten(port.Label))
	}
	if labels[port.Label] {
		pp = pp.Occurrence(2)
		v.add(pp, "", "the port label %q is used twice", port.Label)
	}
	labels[port.Label] = true
	if port.To < -1 || port.To > MaxPort {
		v.add(pp.Attr("to"), "", "a port must be 1 to %d, or -1 for the same as outside, not %d", MaxPort, port.To)
	}
	return pp
}

func (v *validator) tasks(p Path, g *TaskGroup, labels map[string]bool) {
	switch n := len(g.Tasks); {
	case n == 0:
		v.add(p, "write a task block", "Missing tasks for group %q", g.Name)
	case n > MaxTasks:
		v.add(p, "", "%d tasks are too many; at most %d", n, MaxTasks)
		return
	}
	seen, leaders := map[string]int{}, 0
	for _, t := range g.Tasks {
		tp := labelled(p, "task", t.Name, seen)
		if seen[t.Name] > 1 {
			v.add(tp, "", "the task name %q is used twice in group %q", t.Name, g.Name)
		}
		if t.Leader {
			if leaders++; leaders > 1 {
				v.add(tp.Attr("leader"), "", "only one task of a group can be its leader")
			}
		}
		v.task(tp, g, t)
		v.logs(tp.Attr("logs"), t.LogConfig, g.EphemeralDisk)
		v.services(tp, g, t, t.Services, labels)
	}
}

// logs checks one task's logs against the group's disk, on which they are.
func (v *validator) logs(p Path, l *LogConfig, d *EphemeralDisk) {
	if l == nil || l.Disabled {
		return
	}
	v.amount(p.Attr("max_files"), l.MaxFiles, 1, "files")
	v.amount(p.Attr("max_file_size"), l.MaxFileSizeMB, 1, "MB")
	if d != nil && l.MaxFiles > 0 && l.MaxFileSizeMB > d.SizeMB/l.MaxFiles {
		v.add(p, "smaller logs or a larger ephemeral_disk",
			"%d log files of %d MB are more than the group's disk of %d MB", l.MaxFiles, l.MaxFileSizeMB, d.SizeMB)
	}
}

func (v *validator) task(p Path, g *TaskGroup, t *Task) {
	v.name(p, "task", t.Name)
	if t.Name == "alloc" || t.Name == "tmp" {
		v.add(p, "", "the task name %q is taken: the allocation directory has a folder of that name", t.Name)
	}
	if t.Driver == "" {
		v.add(p, `such as driver = "exec"`, "Missing task driver")
	}
	v.text(p.Attr("driver"), "driver", t.Driver)
	v.text(p.Attr("user"), "user", t.User)
	v.keyValues(p.Attr("env"), t.Env)
	v.keyValues(p.Attr("meta"), t.Meta)
	v.constraints(p, "a task's constraint", t.Constraints)
	v.affinities(p, t.Affinities)
	if !same(t.RestartPolicy, g.RestartPolicy) { // else told once, at the group
		v.restart(p.Attr("restart"), t.RestartPolicy)
	}
	v.resources(p.Attr("resources"), t.Resources)
	v.notNegative(p.Attr("kill_timeout"), t.KillTimeout)
	v.notNegative(p.Attr("shutdown_delay"), t.ShutdownDelay)
	if t.KillSignal != "" && !validSignal(t.KillSignal) {
		v.add(p.Attr("kill_signal"), "such as SIGTERM", "%q is not a signal", shorten(t.KillSignal))
	}
	if l := t.Lifecycle; l != nil {
		v.oneOf(p.Attr("lifecycle").Attr("hook"), l.Hook, HookPrestart, HookPoststart, HookPoststop)
		if l.Hook == HookPoststop && l.Sidecar {
			v.add(p.Attr("lifecycle").Attr("sidecar"), "", "a poststop task cannot be a sidecar")
		}
	}
	v.files(p, t)
}

func (v *validator) resources(p Path, r *Resources) {
	if r == nil {
		return
	}
	switch {
	case r.Cores < 0:
		v.add(p.Attr("cores"), "", "must not be negative, but is %d", r.Cores)
	case r.Cores > 0 && r.CPU != 0:
		v.add(p.Attr("cores"), "delete one of them", "a task asks for cpu or for cores, not both")
	case r.Cores == 0:
		v.amount(p.Attr("cpu"), r.CPU, 1, "MHz")
	}
	v.amount(p.Attr("memory"), r.MemoryMB, minMemoryMB, "MB")
	if r.MemoryMaxMB != 0 && r.MemoryMaxMB != UnlimitedMemory && r.MemoryMaxMB < r.MemoryMB {
		v.add(p.Attr("memory_max"), "", "must be at least memory (%d MB), but is %d", r.MemoryMB, r.MemoryMaxMB)
	}
	v.amount(p.Attr("memory_max"), max(0, r.MemoryMaxMB), 0, "MB")
	seen := map[string]int{}
	for _, d := range r.Devices {
		dp := labelled(p, "device", d.Name, seen)
		if d.Count == 0 {
			v.add(dp.Attr("count"), "", "must be at least 1")
		}
		v.constraints(dp, "", d.Constraints)
	}
}

// files checks what is written into the task's directory.
func (v *validator) files(p Path, t *Task) {
	for i, a := range t.Artifacts {
		ap := p.Index("artifact", i)
		if a.GetterSource == "" {
			v.add(ap, "", "an artifact needs a source")
		}
		v.oneOf(ap.Attr("mode"), a.GetterMode, "any", "file", "dir")
		v.inside(ap.Attr("destination"), a.RelativeDest)
	}
	for i, tmpl := range t.Templates {
		v.template(p.Index("template", i), tmpl)
	}
	if d := t.DispatchPayload; d != nil {
		dp := p.Attr("dispatch_payload").Attr("file")
		if d.File == "" || path.Clean(d.File) == "." || escapes(d.File) {
			v.add(dp, "it is a path within local/", "%q is not a file in the task's directory", shorten(d.File))
		}
	}
}

func (v *validator) template(p Path, t *Template) {
	switch {
	case t.EmbeddedTmpl == "" && t.SourcePath == "":
		v.add(p, "", "a template needs data or a source")
	case t.EmbeddedTmpl != "" && t.SourcePath != "":
		v.add(p, "", "a template has data or a source, not both")
	}
	if t.DestPath == "" {
		v.add(p, "", "a template needs a destination")
	}
	v.inside(p.Attr("destination"), t.DestPath)
	v.oneOf(p.Attr("change_mode"), t.ChangeMode, "noop", "restart", "signal", "script")
	if t.ChangeMode == "signal" && !validSignal(t.ChangeSignal) {
		v.add(p.Attr("change_signal"), "such as SIGHUP", "%q is not a signal", shorten(t.ChangeSignal))
	}
	if t.ChangeMode == "script" && (t.ChangeScript == nil || t.ChangeScript.Command == "") {
		v.add(p.Attr("change_script"), "", "change_mode script needs a change_script with a command")
	}
	if t.Perms != "" && !filePerms.MatchString(t.Perms) {
		v.add(p.Attr("perms"), `such as "0644"`, "%q is not a file mode", shorten(t.Perms))
	}
	v.notNegative(p.Attr("splay"), t.Splay)
	if w := t.Wait; w != nil && (w.Min < 0 || w.Max < w.Min) {
		v.add(p.Attr("wait"), "", "wait needs 0 <= min <= max, not %s and %s", w.Min, w.Max)
	}
}

// inside checks a path in the task's directory; ../alloc is the directory that
// the group's tasks share.
func (v *validator) inside(p Path, file string) {
	if escapes(file) && !strings.HasPrefix(path.Clean(file)+"/", "../alloc/") {
		v.add(p, "", "%q leads out of the task's directory", shorten(file))
	}
}

// signals are the names that kill and trap know, without SIG.
var signals = strings.Fields(`HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CLD
	CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS`)

func validSignal(name string) bool {
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	for _, s := range signals {
		if s == name {
			return true
		}
	}
	return false
}
