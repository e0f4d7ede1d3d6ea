package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/steppe-project/steppe/model"
)

// codeKey is the trailer that carries an error's model.Code exactly.
const codeKey = "steppe-code"

// codeNotHere is how a server says that it holds no tunnel to a node.
const codeNotHere = "not_here"

// codeWrongRegion is how a server says that it is of another region than the
// call is for.
const codeWrongRegion = "wrong_region"

// ErrNotSent marks (errors.Is) a failure that happened before a request left
// this process: it provably was not applied.
var ErrNotSent = errors.New("request was not sent")

// errNotHere is the answer of a server without a tunnel to the asked node.
var errNotHere = errors.New("node is not connected to this server")

// errWrongRegion is the answer of a server that a call for another region came to.
var errWrongRegion = &notSent{cause: model.Errorf(model.CodeUnavailable, "the server there is of another region")}

// errNoLeader is the answer while nobody leads.
var errNoLeader = &notSent{cause: model.Errorf(model.CodeUnavailable, "no cluster leader: an election is under way or most servers are unreachable")}

// notSent wraps a model.Error of a request that did not leave.
type notSent struct{ cause *model.Error }

func (e *notSent) Error() string        { return e.cause.Error() }
func (e *notSent) Unwrap() error        { return e.cause }
func (e *notSent) Is(target error) bool { return target == ErrNotSent }

var grpcCodes = map[model.Code]codes.Code{
	model.CodeInvalid:     codes.InvalidArgument,
	model.CodeNotFound:    codes.NotFound,
	model.CodeConflict:    codes.Aborted,
	model.CodeDenied:      codes.PermissionDenied,
	model.CodeUnavailable: codes.Unavailable,
	model.CodeNotLeader:   codes.FailedPrecondition,
	model.CodeInternal:    codes.Internal,
}

// toStatus is the gRPC form of a handler's error, with the trailer to set.
func toStatus(err error) (metadata.MD, error) {
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, errNotHere):
		return metadata.Pairs(codeKey, codeNotHere), status.Error(codes.NotFound, err.Error())
	case errors.Is(err, error(errWrongRegion)):
		return metadata.Pairs(codeKey, codeWrongRegion), status.Error(codes.Unavailable, err.Error())
	case isPlain(err, context.Canceled):
		return nil, status.Error(codes.Canceled, "canceled")
	case isPlain(err, context.DeadlineExceeded):
		return nil, status.Error(codes.DeadlineExceeded, "deadline exceeded")
	}
	code := model.CodeOf(err)
	gc, ok := grpcCodes[code]
	if !ok {
		gc = codes.Internal
	}
	return metadata.Pairs(codeKey, string(code)), status.Error(gc, clip(err.Error()))
}

// isPlain reports whether err is target without a model.Error around it.
func isPlain(err, target error) bool {
	var e *model.Error
	return errors.Is(err, target) && !errors.As(err, &e)
}

// clip bounds an error text at a rune boundary.
func clip(text string) string {
	if len(text) <= maxErrorBytes {
		return text
	}
	text = text[:maxErrorBytes]
	for len(text) > 0 {
		if r, n := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || n != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text + " ..."
}

// fromStatus is the inverse: what a caller gets for a gRPC error.
func fromStatus(ctx context.Context, err error, trailer metadata.MD) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		if cause := context.Cause(ctx); errors.As(cause, new(*model.Error)) {
			return cause
		}
		return ctxErr
	}
	st := status.Convert(err)
	if v := trailer.Get(codeKey); len(v) > 0 {
		switch v[0] {
		case codeNotHere:
			return errNotHere
		case codeWrongRegion:
			return errWrongRegion
		}
		return model.Errorf(model.Code(v[0]), "%s", st.Message())
	}
	switch st.Code() {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.ResourceExhausted:
		return model.Errorf(model.CodeInvalid, "message too large or too many calls at once: %s", st.Message())
	case codes.Unimplemented:
		return model.Errorf(model.CodeNotFound, "the agent asked does not know this call; it may run another version: %s", st.Message())
	}
	return model.Errorf(model.CodeUnavailable, "connection failed: %s", strings.TrimPrefix(st.Message(), "connection error: "))
}

// asModel gives errors of in-process handlers the form they would have had over
// the network, so that callers need not know which way a call went.
func asModel(err error) error {
	var e *model.Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNotHere) || errors.Is(err, io.EOF) {
		return err
	}
	return model.Errorf(model.CodeInternal, "%w", err)
}

func unknownMethod(name string) error {
	return model.Errorf(model.CodeNotFound, "unknown call %s", name)
}

func notLeader(name string) error {
	return model.Errorf(model.CodeNotLeader, "%s: this server does not lead", name)
}

// outcomeUnknown is what a caller gets when the leader it asked was superseded.
func outcomeUnknown(name string) error {
	return model.Errorf(model.CodeUnavailable, "%s: leadership changed while the request was in flight; it may or may not have been applied", name)
}

// protocolErrorf is for a peer that breaks the order of messages.
func protocolErrorf(format string, args ...any) error {
	return model.Errorf(model.CodeInvalid, "protocol error: %s", fmt.Sprintf(format, args...))
}
