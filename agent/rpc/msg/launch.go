package msg

//go:generate go tool msgp -file launch.go -tests=false -io=false

// JobDispatchRequest launches a parameterized job.
type JobDispatchRequest struct {
	WriteOptions
	JobID    string
	Payload  []byte
	Meta     map[string]string
	IDPrefix string // becomes part of the child's id
	Token    string // idempotency: of one token there is one child
	Priority int    // of the child; 0: the job's
}

// JobForceRequest launches a periodic job now.
type JobForceRequest struct {
	WriteOptions
	JobID string
}

// JobLaunchResponse names the child and its evaluation, "" when the child was there
// already.
type JobLaunchResponse struct {
	WriteMeta
	JobID           string
	JobCreateIndex  uint64
	EvalID          string
	EvalCreateIndex uint64
}
