// Package whatifjson reads what-if questions as clients send them.
//
// Contract: a field that is not known is an error that names it; jobs are read as all
// jobs are, with warnings.
package whatifjson

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/steppe-project/steppe/agent/httpapi/fault"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
)

// Decode reads a question.
func Decode(raw []byte) (*insight.Question, []string, error) {
	var in struct {
		Add     []*insight.Addition
		Jobs    []json.RawMessage
		Scale   []*insight.Scaling
		Stop    []*model.NamespacedID
		Drain   []*insight.Draining
		Lose    []*insight.Selection
		Horizon time.Duration
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil, model.Errorf(model.CodeInvalid, "Request body is empty")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, nil, model.Errorf(model.CodeInvalid, "%s", fault.JSON(raw, err))
	}
	q := &insight.Question{Add: in.Add, Scale: in.Scale, Stop: in.Stop, Drain: in.Drain, Lose: in.Lose, Horizon: in.Horizon}
	var warnings []string
	for _, text := range in.Jobs {
		job, more, err := model.DecodeJob(text)
		if err != nil {
			return nil, nil, err
		}
		q.Jobs, warnings = append(q.Jobs, job), append(warnings, more...)
	}
	return q, warnings, nil
}
