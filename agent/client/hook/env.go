package hook

import (
	"context"
	"maps"
	"net"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// defaultPath is for tasks of an agent that has no PATH itself.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// shortIDLength is how much of an allocation's id people are shown.
const shortIDLength = 8

// Env is the table of values of one task: its environment, and what else ${...}
// may name. Immutable once made.
type Env struct {
	task   map[string]string // name -> value, as the task gets it
	values map[string]string // everything else: attr.x, meta.x, node.x, original spellings
}

// environment makes the task's variables, from the agent's own to the job's.
func environment(_ context.Context, b *Build) error {
	e := NewEnv(b)
	b.Env = e
	b.Config.Env = e.task
	return nil
}

// NewEnv builds the table from what Build was given.
func NewEnv(b *Build) *Env {
	e := &Env{task: make(map[string]string, 64), values: make(map[string]string, 64)}
	e.addNode(b.Node, b.Region)
	if b.Caps == nil || b.Caps.FSIsolation != plugins.FSImage {
		maps.Copy(e.task, b.HostEnv)
		if e.task["PATH"] == "" {
			e.task["PATH"] = defaultPath
		}
		e.addUser(e.Replace(b.Task.User))
	}
	e.addIdentity(b)
	e.addPaths(b)
	e.addResources(b)
	e.addPorts(b.ports())
	e.addMeta(b)
	e.addJobEnv(b.Task.Env)
	return e
}

// set adds a variable under a name that shells can use; ${...} may also use the
// original spelling.
func (e *Env) set(name, value string) {
	clean := cleanName(name)
	e.task[clean] = value
	if clean != name {
		e.values[name] = value
	}
}

func (e *Env) addNode(n *model.Node, region string) {
	v := e.values
	v["node.unique.id"], v["node.unique.name"] = n.ID, n.Name
	v["node.datacenter"], v["node.class"], v["node.pool"] = n.Datacenter, n.NodeClass, n.NodePool
	v["node.region"] = region
	for k, value := range n.Attributes {
		v["attr."+k] = value
	}
	for k, value := range n.Meta {
		v["meta."+k] = value
	}
}

// addUser corrects the agent's own identity for a task of another user.
func (e *Env) addUser(name string) {
	if name == "" {
		return
	}
	u, err := user.Lookup(name)
	if err != nil {
		return // the driver says so, in its own words
	}
	e.task["USER"], e.task["LOGNAME"], e.task["HOME"] = u.Username, u.Username, u.HomeDir
}

func (e *Env) addIdentity(b *Build) {
	a := b.Alloc
	e.set("NOMAD_ALLOC_ID", a.ID)
	e.set("NOMAD_SHORT_ALLOC_ID", a.ID[:min(shortIDLength, len(a.ID))])
	e.set("NOMAD_ALLOC_NAME", a.Name)
	if i := a.Index(); i >= 0 {
		e.set("NOMAD_ALLOC_INDEX", strconv.Itoa(i))
	}
	e.set("NOMAD_TASK_NAME", b.Task.Name)
	e.set("NOMAD_GROUP_NAME", b.Group.Name)
	e.set("NOMAD_JOB_ID", a.JobID)
	e.set("NOMAD_JOB_NAME", b.Job.Name)
	if b.Job.ParentID != "" {
		e.set("NOMAD_JOB_PARENT_ID", b.Job.ParentID)
	}
	e.set("NOMAD_DC", b.Node.Datacenter)
	e.set("NOMAD_REGION", b.Region)
	e.set("NOMAD_NAMESPACE", a.Namespace)
	if b.Node.CgroupParent != "" {
		e.set("NOMAD_PARENT_CGROUP", b.Node.CgroupParent)
	}
}

// addPaths names the directories as the task sees them.
func (e *Env) addPaths(b *Build) {
	if b.Caps != nil && isolated(b.Caps) {
		e.set("NOMAD_ALLOC_DIR", "/"+allocdir.Shared)
		e.set("NOMAD_TASK_DIR", "/"+allocdir.Local)
		e.set("NOMAD_SECRETS_DIR", "/"+allocdir.Secrets)
		return
	}
	dir := b.Dir.TaskPath(b.Task.Name)
	e.set("NOMAD_ALLOC_DIR", b.Dir.SharedPath())
	e.set("NOMAD_TASK_DIR", filepath.Join(dir, allocdir.Local))
	e.set("NOMAD_SECRETS_DIR", filepath.Join(dir, allocdir.Secrets))
}

func (e *Env) addResources(b *Build) {
	granted := b.granted()
	e.set("NOMAD_CPU_LIMIT", strconv.FormatInt(granted.Cpu.CpuShares, 10))
	e.set("NOMAD_MEMORY_LIMIT", strconv.FormatInt(granted.Memory.MemoryMB, 10))
	if granted.Memory.MemoryMaxMB > 0 {
		e.set("NOMAD_MEMORY_MAX_LIMIT", strconv.FormatInt(granted.Memory.MemoryMaxMB, 10))
	}
	if cores := coreList(granted.Cpu.ReservedCores); cores != "" {
		e.set("NOMAD_CPU_CORES", cores)
	}
}

// addPorts: NOMAD_PORT_x is what the task binds, NOMAD_HOST_PORT_x what others
// reach; they differ only when the port is mapped.
func (e *Env) addPorts(ports []model.PortMapping) {
	for _, p := range ports {
		host, inside := strconv.Itoa(p.Value), strconv.Itoa(p.Value)
		if p.To > 0 {
			inside = strconv.Itoa(p.To)
		}
		e.set("NOMAD_IP_"+p.Label, p.HostIP)
		e.set("NOMAD_PORT_"+p.Label, inside)
		e.set("NOMAD_ADDR_"+p.Label, net.JoinHostPort(p.HostIP, host))
		e.set("NOMAD_HOST_IP_"+p.Label, p.HostIP)
		e.set("NOMAD_HOST_PORT_"+p.Label, host)
		e.set("NOMAD_HOST_ADDR_"+p.Label, net.JoinHostPort(p.HostIP, host))
		e.set("NOMAD_ALLOC_PORT_"+p.Label, inside)
	}
}

// addMeta: the task's meta wins over the group's, and that over the job's.
func (e *Env) addMeta(b *Build) {
	for _, meta := range []map[string]string{b.Job.Meta, b.Group.Meta, b.Task.Meta} {
		for k, v := range meta {
			value := e.Replace(v)
			e.set("NOMAD_META_"+k, value)
			e.set("NOMAD_META_"+strings.ToUpper(k), value)
		}
	}
}

// addJobEnv adds the env block; its values may name anything above, not each other.
func (e *Env) addJobEnv(env map[string]string) {
	replaced := make(map[string]string, len(env))
	for k, v := range env {
		replaced[e.Replace(k)] = e.Replace(v)
	}
	for k, v := range replaced {
		e.set(k, v)
	}
}

// Replace replaces every ${name} that the table knows and leaves the others.
func (e *Env) Replace(text string) string {
	start := strings.Index(text, "${")
	if start < 0 {
		return text
	}
	var out strings.Builder
	for start >= 0 {
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			break
		}
		end += start
		if start > 0 && text[start-1] == '$' { // $${x} is ${x} itself
			out.WriteString(text[:start-1])
			out.WriteString(text[start : end+1])
		} else {
			out.WriteString(text[:start])
			if value, ok := e.Lookup(text[start+2 : end]); ok {
				out.WriteString(value)
			} else {
				out.WriteString(text[start : end+1])
			}
		}
		text = text[end+1:]
		start = strings.Index(text, "${")
	}
	out.WriteString(text)
	return out.String()
}

// Lookup finds the value of a name as it stands between ${ and }.
func (e *Env) Lookup(name string) (string, bool) {
	name = strings.TrimSpace(name)
	if inner, ok := strings.CutPrefix(name, "env["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		v, found := e.task[strings.Trim(inner, `"`)]
		return v, ok && found
	}
	if v, ok := e.values[name]; ok {
		return v, true
	}
	v, ok := e.task[name]
	return v, ok
}

// Vars is the table in the form that host.Decoder takes.
func (e *Env) Vars() map[string]string {
	out := make(map[string]string, len(e.values)+2*len(e.task))
	maps.Copy(out, e.values)
	for k, v := range e.task {
		out[k] = v
		out["env["+k+"]"] = v
	}
	return out
}

// cleanName makes a variable's name one that shells accept.
func cleanName(name string) string {
	bad := func(r rune) bool {
		return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	if strings.IndexFunc(name, bad) < 0 {
		return name
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return '_'
		}
		return r
	}, name)
}

// coreList writes core ids as the kernel's cpuset files do: "0-2,5".
func coreList(cores []uint16) string {
	var b strings.Builder
	for i := 0; i < len(cores); {
		j := i
		for j+1 < len(cores) && cores[j+1] == cores[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(cores[i])))
		if j > i {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(int(cores[j])))
		}
		i = j + 1
	}
	return b.String()
}
