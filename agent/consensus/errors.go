package consensus

import (
	"errors"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/model"
)

// ErrUnknownOutcome marks (errors.Is) the failure of a proposal that may yet be
// applied.
var ErrUnknownOutcome = errors.New("the outcome is unknown: the change may yet be applied")

var (
	errNotLeader = model.Errorf(model.CodeNotLeader, "this server does not lead")
	errShutdown  = model.Errorf(model.CodeUnavailable, "this server is shutting down")
)

// unknownError is a failure after which a change may yet be applied.
type unknownError struct{ cause *model.Error }

func (e *unknownError) Error() string        { return e.cause.Error() }
func (e *unknownError) Unwrap() error        { return e.cause }
func (e *unknownError) Is(target error) bool { return target == ErrUnknownOutcome }

func unknown(what string, cause error) error {
	return &unknownError{model.Errorf(model.CodeUnavailable, "%s; %s: %w", what, ErrUnknownOutcome.Error(), cause)}
}

// explainApply gives an entry's failure its code and words. disk is why the log
// could not be written meanwhile, nil when it could.
func explainApply(err, disk error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errNotLeader
	case errors.Is(err, raft.ErrLeadershipLost):
		return unknown("this server lost its leadership while the change was being replicated", err)
	case errors.Is(err, raft.ErrAbortedByRestore):
		return unknown("a snapshot was restored while the change was being replicated", err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return unknown("this server is shutting down", err)
	case errors.Is(err, errStopped):
		return unknown("this server cannot go on", err)
	case disk == nil:
		return unknown("the change could not be replicated", err)
	case errors.Is(disk, syscall.ENOSPC):
		return unknown("the disk of the leader's data directory is full", err)
	}
	return unknown("the leader cannot write its log", err)
}

// explainChange gives the failure of a change of the server set its code.
func explainChange(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errNotLeader
	}
	return model.Errorf(model.CodeUnavailable, "%s: %w", what, err)
}
