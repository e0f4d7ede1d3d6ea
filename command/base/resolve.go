package base

import (
	"context"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// maxListed bounds the candidates of an ambiguous prefix that are printed.
const maxListed = 20

// idPrefix checks that text can begin an id; an odd number of digits is fine.
func idPrefix(what, text string) error {
	if text == "" || strings.Trim(text, "0123456789abcdefABCDEF-") != "" {
		return model.Errorf(model.CodeNotFound, "no %s %q: ids are of hexadecimal digits and dashes", what, text)
	}
	return nil
}

func ambiguous(what, prefix string, rows [][]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%q matches more than one %s:\n\n", prefix, what)
	WriteTable(&b, nil, rows[:min(len(rows), maxListed)])
	return &Exit{ExitError, strings.TrimRight(b.String(), "\n")}
}

// Job finds a job by its id, or by a prefix that only one job has.
func (o *IO) Job(ctx context.Context, id string) (*model.Job, error) {
	job, _, err := o.Client.Jobs().Get(ctx, id, nil)
	if err == nil || model.CodeOf(err) != model.CodeNotFound {
		return job, err
	}
	stubs, _, err := o.Client.Jobs().List(ctx, &api.Query{Prefix: id, PerPage: maxListed + 1})
	if err != nil {
		return nil, err
	}
	switch len(stubs) {
	case 0:
		return nil, model.Errorf(model.CodeNotFound, "no job %q", id)
	case 1:
		job, _, err := o.Client.Jobs().Get(ctx, stubs[0].ID, &api.Query{Namespace: stubs[0].Namespace})
		return job, err
	}
	var rows [][]string
	for _, s := range stubs {
		rows = append(rows, []string{s.ID, s.Type, s.Status})
	}
	return nil, ambiguous("job", id, rows)
}

// Alloc finds an allocation by its id or a prefix of it.
func (o *IO) Alloc(ctx context.Context, id string) (*model.Allocation, error) {
	if err := idPrefix("allocation", id); err != nil {
		return nil, err
	}
	stubs, _, err := o.Client.Allocations().List(ctx, &api.Query{Prefix: strings.ToLower(id), Namespace: o.listNamespace()})
	if err != nil {
		return nil, err
	}
	switch len(stubs) {
	case 0:
		return nil, model.Errorf(model.CodeNotFound, "no allocation %q", id)
	case 1:
		a, _, err := o.Client.Allocations().Get(ctx, stubs[0].ID, nil)
		return a, err
	}
	var rows [][]string
	for _, s := range stubs {
		rows = append(rows, []string{s.ID, s.JobID, s.TaskGroup, s.ClientStatus})
	}
	return nil, ambiguous("allocation", id, rows)
}

// listNamespace widens a search by id to all namespaces unless one was named.
func (o *IO) listNamespace() string {
	if ns := o.client.Namespace; ns != "" {
		return ns
	}
	return model.AllNamespaces
}

// Node finds a node by its id, a prefix of it, or its name.
func (o *IO) Node(ctx context.Context, id string) (*model.Node, error) {
	stubs, _, err := o.Client.Nodes().List(ctx, nil)
	if err != nil {
		return nil, err
	}
	var found []*model.NodeListStub
	for _, s := range stubs {
		if strings.HasPrefix(s.ID, strings.ToLower(id)) || s.Name == id {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, model.Errorf(model.CodeNotFound, "no node %q", id)
	case 1:
		n, _, err := o.Client.Nodes().Get(ctx, found[0].ID, nil)
		return n, err
	}
	var rows [][]string
	for _, s := range found {
		rows = append(rows, []string{s.ID, s.Name, s.Status})
	}
	return nil, ambiguous("node", id, rows)
}

// Eval finds an evaluation by its id or a prefix of it.
func (o *IO) Eval(ctx context.Context, id string) (*model.Evaluation, error) {
	if err := idPrefix("evaluation", id); err != nil {
		return nil, err
	}
	evals, _, err := o.Client.Evaluations().List(ctx, &api.Query{Prefix: strings.ToLower(id), Namespace: o.listNamespace()})
	if err != nil {
		return nil, err
	}
	switch len(evals) {
	case 0:
		return nil, model.Errorf(model.CodeNotFound, "no evaluation %q", id)
	case 1:
		e, _, err := o.Client.Evaluations().Get(ctx, evals[0].ID, &api.Query{Params: map[string]string{"related": "true"}})
		return e, err
	}
	var rows [][]string
	for _, e := range evals {
		rows = append(rows, []string{e.ID, e.JobID, e.TriggeredBy, e.Status})
	}
	return nil, ambiguous("evaluation", id, rows)
}
