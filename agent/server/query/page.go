package query

import (
	"errors"
	"iter"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

const (
	// maxFilterBytes bounds a filter's text; real ones have some dozens.
	maxFilterBytes = 16 << 10
	// maxFilterSteps bounds the work of parsing a filter: nested parentheses make
	// the parser's work grow exponentially.
	maxFilterSteps = 100_000
)

// filterFor compiles the request's filter; nil for none.
func filterFor(o *msg.QueryOptions) (*bexpr.Evaluator, error) {
	if o.Filter == "" {
		return nil, nil
	}
	if len(o.Filter) > maxFilterBytes {
		return nil, model.Errorf(model.CodeInvalid, "failed to read filter expression: longer than %d bytes", maxFilterBytes)
	}
	f, err := bexpr.CreateEvaluator(o.Filter, bexpr.WithMaxExpressions(maxFilterSteps))
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "failed to read filter expression: %w", err)
	}
	return f, nil
}

// page cuts a page out of rows, which begin at the request's token. token is a
// row's key in the list.
func page[T any](rows iter.Seq[*T], o *msg.QueryOptions, keep func(*T) bool, token func(*T) string,
) (items []*T, next string, err error) {
	if o.PerPage < 0 {
		return nil, "", model.Errorf(model.CodeInvalid, "per_page must not be negative: %d", o.PerPage)
	}
	filter, err := filterFor(o)
	if err != nil {
		return nil, "", err
	}
	for row := range rows {
		if keep != nil && !keep(row) {
			continue
		}
		if filter != nil {
			match, err := filter.Evaluate(row)
			if err != nil {
				return nil, "", model.Errorf(model.CodeInvalid, "failed to read result page: %w", err)
			}
			if !match {
				continue
			}
		}
		if o.PerPage > 0 && len(items) == o.PerPage {
			return items, token(row), nil
		}
		items = append(items, row)
	}
	return items, "", nil
}

var errToken = errors.New("not a token of this list")

// parseCreated reads the token of a list ordered by creation: "<create index>.<id>".
func parseCreated(token string) (state.Key, error) {
	if token == "" {
		return state.Key{}, nil
	}
	index, id, ok := strings.Cut(token, ".")
	n, err := strconv.ParseUint(index, 10, 64)
	if !ok || err != nil {
		return state.Key{}, badToken(token)
	}
	return state.Key{Index: n, ID: id}, nil
}

func createdToken(index uint64, id string) string { return strconv.FormatUint(index, 10) + "." + id }

// parseJob reads the token of a list of jobs: "<namespace>.<id>".
func parseJob(token string) (state.Key, error) {
	if token == "" {
		return state.Key{}, nil
	}
	ns, id, ok := strings.Cut(token, ".")
	if !ok {
		return state.Key{}, badToken(token)
	}
	return state.Key{Namespace: ns, ID: id}, nil
}

func badToken(token string) error {
	return model.Errorf(model.CodeInvalid, "next_token %q: %w", token, errToken)
}
