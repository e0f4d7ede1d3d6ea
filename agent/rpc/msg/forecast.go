package msg

import "github.com/steppe-project/steppe/model/insight"

//go:generate go tool msgp -file forecast.go -tests=false -io=false

// What can be explained, as ExplainRequest.Kind says it.
const (
	ExplainJob   = "job"
	ExplainAlloc = "allocation"
	ExplainEval  = "evaluation"
)

// ExplainRequest asks why the instances of a job, of one that an allocation or
// evaluation belongs to, are where they are.
type ExplainRequest struct {
	QueryOptions
	Kind string
	ID   string
}

// ExplainResponse says it.
type ExplainResponse struct {
	QueryMeta
	Explanation *insight.Explanation
}

// WhatIfRequest asks what would happen.
type WhatIfRequest struct {
	QueryOptions
	Question *insight.Question
}

// WhatIfResponse says it; nothing was changed.
type WhatIfResponse struct {
	QueryMeta
	Answer *insight.Answer
}
