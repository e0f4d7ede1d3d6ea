package msg

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

//go:generate go tool msgp -file options.go -tests=false -io=false

// QueryOptions go with every read.
type QueryOptions struct {
	Region     string
	Namespace  string // "" = default, "*" = all
	AuthToken  string
	Stale      bool // any server may answer from what it has
	Consistent bool // linearizable: the leader confirms its leadership first
	MinIndex   uint64
	MaxWait    time.Duration // blocking: 0 = the server's default when MinIndex > 0

	Prefix    string
	Filter    string // go-bexpr
	PerPage   int
	NextToken string
	Reverse   bool
}

// AllowsStale tells the transport that a follower may answer.
func (o *QueryOptions) AllowsStale() bool { return o.Stale }

// RequestRegion is the region that must answer.
func (o *QueryOptions) RequestRegion() string { return o.Region }

// RequestNamespace is Namespace, or the default one.
func (o *QueryOptions) RequestNamespace() string {
	if o.Namespace == "" {
		return model.DefaultNamespace
	}
	return o.Namespace
}

// QueryMeta comes back with every read.
type QueryMeta struct {
	Index       uint64
	LastContact time.Duration // with the leader; 0 from the leader
	KnownLeader bool
	NextToken   string
}

// WriteOptions go with every write. RequestID, when set, makes a retry safe.
type WriteOptions struct {
	Region    string
	Namespace string
	AuthToken string
	RequestID string
}

// RequestRegion is the region that must answer.
func (o *WriteOptions) RequestRegion() string { return o.Region }

// RequestNamespace is Namespace, or the default one.
func (o *WriteOptions) RequestNamespace() string {
	if o.Namespace == "" {
		return model.DefaultNamespace
	}
	return o.Namespace
}

// RequestKey implements rpc.KeyedRequest.
func (o *WriteOptions) RequestKey() string { return o.RequestID }

// WriteMeta comes back with every write.
type WriteMeta struct {
	Index uint64
}

// Empty is a message without content.
type Empty struct{}
