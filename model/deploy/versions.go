package deploy

import (
	"iter"

	"github.com/steppe-project/steppe/model"
)

const (
	// MaxTagged is how many versions of a job may have a tag: they are kept beyond the
	// number that others are kept to.
	MaxTagged = 32
	// MaxTagBytes bounds a tag's name, and MaxTagTextBytes its description.
	MaxTagBytes     = 128
	MaxTagTextBytes = 1024
)

// CheckRevert tells why a job cannot go back to a version; to is nil when that is not
// kept.
func CheckRevert(now, to *model.Job, version uint64) error {
	switch {
	case version == now.Version:
		return model.Errorf(model.CodeInvalid, "job %q is at version %d: there is nothing to revert", now.ID, version)
	case to == nil || to.CreateIndex != now.CreateIndex:
		return model.Errorf(model.CodeInvalid, "job %q has no version %d (any more): see the versions that are kept with steppe job history", now.ID, version)
	case to.Stop:
		return model.Errorf(model.CodeInvalid, "version %d of job %q is the one that stopped it: revert to the version before, or stop the job", version, now.ID)
	}
	return nil
}

// Tags is what there is of a tag among a job's versions.
type Tags struct {
	Named  *model.Job // the version that has it; nil for none
	Wanted *model.Job // the version that is to have it; nil for none
	Tagged int        // how many have one
}

// TagsOf looks for a tag, and for the version that is to have it.
func TagsOf(versions iter.Seq[*model.Job], name string, version uint64) Tags {
	var t Tags
	for v := range versions {
		if v.VersionTag != nil {
			t.Tagged++
			if v.VersionTag.Name == name {
				t.Named = v
			}
		}
		if v.Version == version {
			t.Wanted = v
		}
	}
	return t
}

// Check tells why a version of a job cannot have a tag.
func (t Tags) Check(job *model.Job, version uint64, tag *model.JobVersionTag) error {
	switch {
	case tag.Name == "" || len(tag.Name) > MaxTagBytes || len(tag.Description) > MaxTagTextBytes:
		return model.Errorf(model.CodeInvalid, "a tag has a name of 1 to %d bytes, and a description of at most %d", MaxTagBytes, MaxTagTextBytes)
	case t.Wanted == nil:
		return model.Errorf(model.CodeNotFound, "job %q has no version %d (any more)", job.ID, version)
	case t.Named != nil && t.Named.Version != version:
		return model.Errorf(model.CodeConflict, "version %d of job %q has the tag %q: unset it there first", t.Named.Version, job.ID, tag.Name)
	case t.Wanted.VersionTag == nil && t.Tagged >= MaxTagged:
		return model.Errorf(model.CodeConflict, "job %q has %d tagged versions, and more are not kept: unset one first", job.ID, t.Tagged)
	}
	return nil
}
