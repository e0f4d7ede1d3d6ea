package msg

import "github.com/steppe-project/steppe/model"

//go:generate go tool msgp -file deployment.go -tests=false -io=false

// DeploymentListRequest lists deployments: all, or those of a job.
type DeploymentListRequest struct {
	QueryOptions
}

// DeploymentResponse is one deployment; nil: there is none of that id.
type DeploymentResponse struct {
	QueryMeta
	Deployment *model.Deployment
}

// DeploymentStatusRequest fails a deployment, pauses it, or has it go on.
type DeploymentStatusRequest struct {
	WriteOptions
	DeploymentID string
	Status       string // failed, paused, running
}

// DeploymentPromoteRequest promotes the canaries of all groups, or of those named.
type DeploymentPromoteRequest struct {
	WriteOptions
	DeploymentID string
	All          bool
	Groups       []string
}

// AllocHealthRequest is an operator's word on the health of a deployment's allocations.
type AllocHealthRequest struct {
	WriteOptions
	DeploymentID string
	Healthy      []string
	Unhealthy    []string
}

// DeploymentWriteResponse is what became of a deployment. With Reverted the job went
// back to version RevertedTo.
type DeploymentWriteResponse struct {
	WriteMeta
	ModifyIndex     uint64
	EvalID          string
	EvalCreateIndex uint64
	Reverted        bool
	RevertedTo      uint64
}

// JobRevertRequest takes a job back to an older version: by its number, or by a tag.
type JobRevertRequest struct {
	WriteOptions
	JobID        string
	Version      uint64
	Tag          string // instead of Version
	EnforcePrior bool
	PriorVersion uint64 // with EnforcePrior, the present version
}

// JobStableRequest marks a version of a job as one to go back to, or not.
type JobStableRequest struct {
	WriteOptions
	JobID   string
	Version uint64
	Stable  bool
}

// JobTagRequest gives a version of a job a name, or takes it away.
type JobTagRequest struct {
	WriteOptions
	JobID       string
	Tag         string
	Description string
	Version     uint64
	Newest      bool // the present version, instead of Version
	Remove      bool
}
