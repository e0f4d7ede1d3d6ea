// Package launch holds the rules of jobs that are templates: a parameterized job is
// launched by dispatches, a periodic one by its schedule, and both only ever run as
// their children. It is part of the model: pure data and rules.
//
// Invariants: a child's specification follows from its parent's at the launch, and
// from what the dispatch brought; later versions of the parent do not change it. A
// child is no template itself.
//
// Example:
//
//	if err := launch.Check(parent, payload, meta); err == nil {
//		child := launch.Dispatched(parent, id, payload, meta)
//	}
package launch

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// Limits of a dispatch.
const (
	// MaxPayloadBytes is as much as fits into the log beside other work, and is what
	// users of Nomad rely on; larger input belongs into a store that the task reads.
	MaxPayloadBytes = 16 << 10
	// MaxMetaBytes bounds keys and values together: they become environment variables,
	// each of which the kernel limits to 128 KiB.
	MaxMetaBytes = 64 << 10
	// MaxTokenBytes and MaxPrefixBytes bound the idempotency token and the prefix of the
	// child's id, which are in every list of jobs.
	MaxTokenBytes  = 256
	MaxPrefixBytes = 64
)

// What a parameterized job says of payloads.
const (
	PayloadOptional  = "optional"
	PayloadRequired  = "required"
	PayloadForbidden = "forbidden"
)

// What a periodic job says of the launches that nobody was there for.
const (
	// CatchUpLast launches the newest one that was missed, late.
	CatchUpLast = "last"
	// CatchUpSkip launches none of them.
	CatchUpSkip = "skip"
)

// IsTemplate tells whether a job itself has no instances, only children.
func IsTemplate(j *model.Job) bool { return j.Periodic != nil || IsParameterized(j) }

// IsParameterized tells whether a job is there to be dispatched.
func IsParameterized(j *model.Job) bool { return j.ParameterizedJob != nil && !j.Dispatched }

// DispatchID is the id of a child that is dispatched at a time (unix s). random tells
// it from others of the second; prefix, which may be empty, is the user's.
func DispatchID(parent, prefix string, unix int64, random string) string {
	if prefix != "" {
		prefix += "-"
	}
	return parent + "/dispatch-" + prefix + strconv.FormatInt(unix, 10) + "-" + random
}

// PeriodicID is the id of the child for a slot (unix s) of the schedule.
func PeriodicID(parent string, slot int64) string {
	return parent + "/periodic-" + strconv.FormatInt(slot, 10)
}

// Check refuses a dispatch that the parent does not allow, and names every key that
// is at fault.
func Check(parent *model.Job, payload []byte, meta map[string]string) error {
	c := parent.ParameterizedJob
	if !IsParameterized(parent) {
		return model.Errorf(model.CodeInvalid, "job %q cannot be dispatched: it is not parameterized", parent.ID)
	}
	switch {
	case parent.Stop:
		return model.Errorf(model.CodeInvalid, "job %q cannot be dispatched: it is stopped", parent.ID)
	case len(payload) > MaxPayloadBytes:
		return model.Errorf(model.CodeInvalid, "the payload has %d bytes; at most %d are allowed", len(payload), MaxPayloadBytes)
	case c.Payload == PayloadRequired && len(payload) == 0:
		return model.Errorf(model.CodeInvalid, "job %q requires a payload", parent.ID)
	case c.Payload == PayloadForbidden && len(payload) > 0:
		return model.Errorf(model.CodeInvalid, "job %q forbids a payload", parent.ID)
	}
	return checkMeta(parent, meta)
}

func checkMeta(parent *model.Job, meta map[string]string) error {
	c := parent.ParameterizedJob
	var missing, unknown []string
	for _, k := range c.MetaRequired {
		if _, ok := meta[k]; !ok {
			missing = append(missing, strconv.Quote(k))
		}
	}
	size := 0
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		size += len(k) + len(meta[k])
		if !slices.Contains(c.MetaRequired, k) && !slices.Contains(c.MetaOptional, k) {
			unknown = append(unknown, strconv.Quote(k))
		}
		if strings.ContainsRune(meta[k], 0) {
			return model.Errorf(model.CodeInvalid, "the meta value of %q contains NUL", k)
		}
	}
	switch {
	case len(missing) > 0:
		return model.Errorf(model.CodeInvalid, "job %q requires meta that the dispatch does not have: %s", parent.ID, strings.Join(missing, ", "))
	case len(unknown) > 0:
		allowed := "it allows none"
		if all := slices.Concat(c.MetaRequired, c.MetaOptional); len(all) > 0 {
			slices.Sort(all)
			allowed = "it allows " + strings.Join(all, ", ")
		}
		return model.Errorf(model.CodeInvalid, "job %q does not allow this meta: %s; %s", parent.ID, strings.Join(unknown, ", "), allowed)
	case size > MaxMetaBytes:
		return model.Errorf(model.CodeInvalid, "the meta of the dispatch has %d bytes; at most %d are allowed", size, MaxMetaBytes)
	}
	return nil
}

// Dispatched is the child of a dispatch. It shares what does not change with its parent.
func Dispatched(parent *model.Job, id string, payload []byte, meta map[string]string) *model.Job {
	child := of(parent, id)
	child.Dispatched, child.Payload = true, payload
	child.Meta = make(map[string]string, len(parent.Meta)+len(meta))
	maps.Copy(child.Meta, parent.Meta)
	maps.Copy(child.Meta, meta)
	return child
}

// Periodic is the child of a launch. It shares what does not change with its parent.
func Periodic(parent *model.Job, id string) *model.Job {
	child := of(parent, id)
	child.Periodic = nil
	return child
}

// of is a new job that asks for what parent does.
func of(parent *model.Job, id string) *model.Job {
	child := *parent
	child.ID, child.Name, child.ParentID = id, id, parent.ID
	child.SubmitTime, child.Version, child.VersionTag, child.Stable = 0, 0, nil, false
	child.Status, child.StatusDescription = "", ""
	return &child
}

// CheckUpdate refuses to turn a job into another kind: what runs, or is scheduled, of
// the one would be nobody's.
func CheckUpdate(now, next *model.Job) error {
	kind := func(j *model.Job) string {
		switch {
		case j.ParentID != "":
			return "a child of " + strconv.Quote(j.ParentID)
		case j.Periodic != nil:
			return "periodic"
		case j.ParameterizedJob != nil:
			return "parameterized"
		}
		return "neither periodic nor parameterized"
	}
	if is, wanted := kind(now), kind(next); is != wanted {
		return model.Errorf(model.CodeInvalid, "job %q is %s, and would be %s: give the new one another id, or purge the old one", now.ID, is, wanted)
	}
	return nil
}
