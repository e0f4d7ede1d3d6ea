package query

import (
	"context"
	"iter"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Search contexts, as clients of the API name them.
const (
	contextAll         = "all"
	contextJobs        = "jobs"
	contextEvals       = "evals"
	contextAllocs      = "allocs"
	contextNodes       = "nodes"
	contextDeployments = "deployment"
	contextPools       = "node_pools"
	contextNamespaces  = "namespaces"
	contextGroups      = "groups"
	contextTasks       = "tasks"
	contextServices    = "services"
	contextImages      = "images"
	contextCommands    = "commands"
	contextClasses     = "classes"
)

// aliases are other names of contexts that clients use.
var aliases = map[string]string{"": contextAll, "deployments": contextDeployments, "allocations": contextAllocs}

// prefixContexts are searched by prefix in this order.
var prefixContexts = []string{
	contextAllocs, contextDeployments, contextEvals, contextJobs, contextNodes, contextPools, contextNamespaces,
}

// search finds ids by prefix, or names by part.
func (q *Queries) search(ctx context.Context, r *msg.SearchRequest) (*msg.SearchResponse, error) {
	wanted := r.Context
	if name, ok := aliases[wanted]; ok {
		wanted = name
	}
	topics := table(state.TableConfig) // a search never blocks
	plain := r.QueryOptions
	plain.MinIndex = 0
	return run(ctx, q, &plain, topics,
		func(m *msg.SearchResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.SearchResponse], error) {
			f := finding{
				o: &r.QueryOptions, text: r.Text,
				resp: &msg.SearchResponse{Matches: map[string][]msg.SearchMatch{}, Truncations: map[string]bool{}},
			}
			known := false
			for _, c := range prefixContexts {
				if wanted == contextAll || wanted == c {
					known = true
					f.collect(c, f.candidates(snap, c, r.Fuzzy))
				}
			}
			if r.Fuzzy {
				known = f.fuzzy(snap, wanted) || known
			}
			if !known {
				return result[msg.SearchResponse]{}, model.Errorf(model.CodeInvalid,
					"context must be one of %s or all; got %q", strings.Join(prefixContexts, ", "), r.Context)
			}
			return result[msg.SearchResponse]{f.resp, snap.Index(), ""}, nil
		})
}

// finding is one search under way.
type finding struct {
	o    *msg.QueryOptions
	text string
	resp *msg.SearchResponse
}

// add notes a match; it returns false when the context is full.
func (f *finding) add(context string, m msg.SearchMatch) bool {
	if len(f.resp.Matches[context]) >= msg.SearchLimit {
		f.resp.Truncations[context] = true
		return false
	}
	f.resp.Matches[context] = append(f.resp.Matches[context], m)
	return true
}

func (f *finding) collect(context string, found iter.Seq[msg.SearchMatch]) {
	f.resp.Matches[context] = []msg.SearchMatch{}
	f.resp.Truncations[context] = false
	for m := range found {
		if !f.add(context, m) {
			return
		}
	}
}

// candidates are the things of a context whose id starts with the text or, in a
// fuzzy search, whose name contains it.
func (f *finding) candidates(snap *state.Snapshot, context string, fuzzy bool) iter.Seq[msg.SearchMatch] {
	r := state.Range{Namespace: namespaceOf(f.o), Prefix: f.text}
	switch context {
	case contextAllocs:
		if fuzzy {
			return f.named(func(yield func(name string, m msg.SearchMatch) bool) {
				for a := range snap.Allocs(state.Range{Namespace: r.Namespace}) {
					if !yield(a.Name, msg.SearchMatch{ID: a.Name, Scope: []string{a.Namespace, a.ID}}) {
						return
					}
				}
			})
		}
		return ids(snap.Allocs(r), func(a *model.Allocation) string { return a.ID })
	case contextDeployments:
		return ids(snap.Deployments(r), func(d *model.Deployment) string { return d.ID })
	case contextEvals:
		return ids(snap.Evals(r), func(e *model.Evaluation) string { return e.ID })
	case contextJobs:
		if fuzzy {
			return f.named(func(yield func(name string, m msg.SearchMatch) bool) {
				for j := range snap.Jobs(state.Range{Namespace: r.Namespace}) {
					if !yield(j.Name, msg.SearchMatch{ID: j.Name, Scope: []string{j.Namespace, j.ID}}) {
						return
					}
				}
			})
		}
		return ids(snap.Jobs(r), func(j *model.Job) string { return j.ID })
	case contextNodes:
		if fuzzy {
			return f.named(func(yield func(name string, m msg.SearchMatch) bool) {
				for n := range snap.Nodes(state.Range{}) {
					if !yield(n.Name, msg.SearchMatch{ID: n.Name, Scope: []string{n.ID}}) {
						return
					}
				}
			})
		}
		return ids(snap.Nodes(r), func(n *model.Node) string { return n.ID })
	case contextPools:
		return ids(snap.NodePools(r), func(p *model.NodePool) string { return p.Name })
	default:
		return ids(snap.Namespaces(r), func(n *tenancy.Namespace) string { return n.Name })
	}
}

// ids are rows as matches without scope.
func ids[T any](rows iter.Seq[*T], id func(*T) string) iter.Seq[msg.SearchMatch] {
	return func(yield func(msg.SearchMatch) bool) {
		for row := range rows {
			if !yield(msg.SearchMatch{ID: id(row)}) {
				return
			}
		}
	}
}

// named keeps what has the text in its name, whatever the case.
func (f *finding) named(all func(func(string, msg.SearchMatch) bool)) iter.Seq[msg.SearchMatch] {
	text := strings.ToLower(f.text)
	return func(yield func(msg.SearchMatch) bool) {
		all(func(name string, m msg.SearchMatch) bool {
			return !strings.Contains(strings.ToLower(name), text) || yield(m)
		})
	}
}

// fuzzy searches inside jobs: groups, tasks, services, images and commands; and
// the classes of nodes. It tells whether the context is one of these.
func (f *finding) fuzzy(snap *state.Snapshot, wanted string) bool {
	inside := map[string]bool{
		contextGroups: true, contextTasks: true, contextServices: true, contextImages: true, contextCommands: true,
		contextClasses: true,
	}
	if wanted != contextAll && wanted != contextJobs && !inside[wanted] {
		return false
	}
	skip := func(context string) bool { return inside[wanted] && wanted != context }
	text := strings.ToLower(f.text)
	match := func(context, name string, scope ...string) {
		if name != "" && !skip(context) && strings.Contains(strings.ToLower(name), text) {
			f.add(context, msg.SearchMatch{ID: name, Scope: scope})
		}
	}
	for j := range snap.Jobs(state.Range{Namespace: namespaceOf(f.o)}) {
		matchJob(j, match)
	}
	classes := map[string]bool{}
	for n := range snap.Nodes(state.Range{}) {
		if n.NodeClass != "" && !classes[n.NodeClass] {
			classes[n.NodeClass] = true
			match(contextClasses, n.NodeClass, n.ID)
		}
	}
	return true
}

// matchJob offers the names inside a job.
func matchJob(j *model.Job, match func(context, name string, scope ...string)) {
	for _, g := range j.TaskGroups {
		match(contextGroups, g.Name, j.Namespace, j.ID)
		for _, s := range g.Services {
			match(contextServices, s.Name, j.Namespace, j.ID, g.Name)
		}
		for _, t := range g.Tasks {
			match(contextTasks, t.Name, j.Namespace, j.ID, g.Name)
			for _, s := range t.Services {
				match(contextServices, s.Name, j.Namespace, j.ID, g.Name, t.Name)
			}
			if image, ok := t.Config["image"].(string); ok {
				match(contextImages, image, j.Namespace, j.ID, g.Name, t.Name)
			}
			if command, ok := t.Config["command"].(string); ok {
				match(contextCommands, command, j.Namespace, j.ID, g.Name, t.Name)
			}
		}
	}
}
