package base

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// maxListed bounds the candidates of an ambiguous prefix that are printed.
const maxListed = 20

// plausible tells whether a text can begin an id.
func plausible(text string) bool {
	return text != "" && strings.Trim(text, "0123456789abcdefABCDEF-") == ""
}

func notFound(what, text string) error {
	if !plausible(text) && what != "job" && what != "node" {
		return model.Errorf(model.CodeNotFound, "no %s %q: ids are of hexadecimal digits and dashes", what, text)
	}
	return model.Errorf(model.CodeNotFound, "no %s %q", what, text)
}

// Ambiguous is the error for a prefix that several things have; rows tell them apart.
func Ambiguous(what, prefix string, rows [][]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%q matches more than one %s:\n\n", Clean(prefix), what)
	WriteTable(&b, nil, rows[:min(len(rows), maxListed)])
	if len(rows) > maxListed {
		b.WriteString("... and more\n")
	}
	return &Exit{ExitError, strings.TrimRight(b.String(), "\n")}
}

// searched is a list query for ids that begin with prefix: in all namespaces,
// unless one was named.
func (o *IO) searched(prefix string) *api.Query {
	q := &api.Query{Prefix: strings.ToLower(prefix), PerPage: maxListed + 1, Namespace: o.client.Namespace}
	if q.Namespace == "" {
		q.Namespace = model.AllNamespaces
	}
	return q
}

// Job finds a job by its id, or by a prefix that only one job has. Namespace *
// looks everywhere.
func (o *IO) Job(ctx context.Context, id string) (*model.Job, error) {
	if o.client.Namespace != model.AllNamespaces {
		job, _, err := o.Client.Jobs().Get(ctx, id, nil)
		if err == nil || model.CodeOf(err) != model.CodeNotFound {
			return job, err
		}
	}
	stubs, _, err := o.Client.Jobs().List(ctx, &api.Query{Prefix: id, PerPage: maxListed + 1})
	if err != nil {
		return nil, err
	}
	var exact []*model.JobListStub
	for _, s := range stubs {
		if s.ID == id {
			exact = append(exact, s)
		}
	}
	if len(exact) > 0 {
		stubs = exact
	}
	switch len(stubs) {
	case 0:
		return nil, notFound("job", id)
	case 1:
		job, _, err := o.Client.Jobs().Get(ctx, stubs[0].ID, &api.Query{Namespace: stubs[0].Namespace})
		return job, err
	}
	var rows [][]string
	for _, s := range stubs {
		rows = append(rows, []string{s.ID, s.Namespace, s.Type, s.Status})
	}
	return nil, Ambiguous("job", id, rows)
}

// Alloc finds an allocation by its id or a prefix of it.
func (o *IO) Alloc(ctx context.Context, id string) (*model.Allocation, error) {
	if !plausible(id) {
		return nil, notFound("allocation", id)
	}
	stubs, _, err := o.Client.Allocations().List(ctx, o.searched(id))
	if err != nil {
		return nil, err
	}
	switch len(stubs) {
	case 0:
		return nil, notFound("allocation", id)
	case 1:
		a, _, err := o.Client.Allocations().Get(ctx, stubs[0].ID, nil)
		return a, err
	}
	var rows [][]string
	for _, s := range stubs {
		rows = append(rows, []string{s.ID, s.JobID, s.TaskGroup, s.ClientStatus})
	}
	return nil, Ambiguous("allocation", id, rows)
}

// Node finds a node by its id, a prefix of it, or its name.
func (o *IO) Node(ctx context.Context, id string) (*model.Node, error) {
	var found []*model.NodeListStub
	var err error
	if plausible(id) {
		q := &api.Query{Prefix: strings.ToLower(id), PerPage: maxListed + 1}
		if found, _, err = o.Client.Nodes().List(ctx, q); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		q := &api.Query{Filter: "Name == " + strconv.Quote(id), PerPage: maxListed + 1}
		if found, _, err = o.Client.Nodes().List(ctx, q); err != nil {
			return nil, err
		}
	}
	switch len(found) {
	case 0:
		return nil, notFound("node", id)
	case 1:
		n, _, err := o.Client.Nodes().Get(ctx, found[0].ID, nil)
		return n, err
	}
	var rows [][]string
	for _, s := range found {
		rows = append(rows, []string{s.ID, s.Name, s.Status})
	}
	return nil, Ambiguous("node", id, rows)
}

// Eval finds an evaluation by its id or a prefix of it, with its relations.
func (o *IO) Eval(ctx context.Context, id string) (*model.Evaluation, error) {
	if !plausible(id) {
		return nil, notFound("evaluation", id)
	}
	evals, _, err := o.Client.Evaluations().List(ctx, o.searched(id))
	if err != nil {
		return nil, err
	}
	switch len(evals) {
	case 0:
		return nil, notFound("evaluation", id)
	case 1:
		e, _, err := o.Client.Evaluations().Get(ctx, evals[0].ID, &api.Query{Params: map[string]string{"related": "true"}})
		return e, err
	}
	var rows [][]string
	for _, e := range evals {
		rows = append(rows, []string{e.ID, e.JobID, e.TriggeredBy, e.Status})
	}
	return nil, Ambiguous("evaluation", id, rows)
}

// Deployment finds a deployment by its id or a prefix of it.
func (o *IO) Deployment(ctx context.Context, id string) (*model.Deployment, error) {
	if !plausible(id) {
		return nil, notFound("deployment", id)
	}
	list, _, err := o.Client.Deployments().List(ctx, o.searched(id))
	if err != nil {
		return nil, err
	}
	switch len(list) {
	case 0:
		return nil, notFound("deployment", id)
	case 1:
		return list[0], nil
	}
	var rows [][]string
	for _, d := range list {
		rows = append(rows, []string{d.ID, d.JobID, fmt.Sprint(d.JobVersion), d.Status})
	}
	return nil, Ambiguous("deployment", id, rows)
}
