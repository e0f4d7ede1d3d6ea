package api

import (
	"context"

	"github.com/steppe-project/steppe/model/insight"
)

// Forecasts are the calls that explain and foretell; nothing is changed by them.
type Forecasts struct{ c *Client }

// Forecasts returns the calls that explain and foretell.
func (c *Client) Forecasts() Forecasts { return Forecasts{c} }

// ExplainJob tells why a job's instances are where they are, and what keeps others
// from being placed.
func (f Forecasts) ExplainJob(ctx context.Context, id string, q *Query) (*insight.Explanation, Meta, error) {
	return f.explain(ctx, "job", id, q)
}

// ExplainAllocation tells why an allocation is on its node.
func (f Forecasts) ExplainAllocation(ctx context.Context, id string, q *Query) (*insight.Explanation, Meta, error) {
	return f.explain(ctx, "allocation", id, q)
}

// ExplainEvaluation tells what an evaluation could not place, and what would help now.
func (f Forecasts) ExplainEvaluation(ctx context.Context, id string, q *Query) (*insight.Explanation, Meta, error) {
	return f.explain(ctx, "evaluation", id, q)
}

func (f Forecasts) explain(ctx context.Context, kind, id string, q *Query) (*insight.Explanation, Meta, error) {
	var out insight.Explanation
	m, err := f.c.Get(ctx, "/v1/explain/"+kind+"/"+esc(id), q, &out)
	return &out, m, err
}

// WhatIf tells what would happen.
func (f Forecasts) WhatIf(ctx context.Context, question *insight.Question, q *Query) (*insight.Answer, Meta, error) {
	var out insight.Answer
	m, err := f.c.Put(ctx, "/v1/whatif", q, question, &out)
	return &out, m, err
}
