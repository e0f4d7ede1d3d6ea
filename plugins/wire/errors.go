package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ToError gives the gRPC form of a plugin's error: FailedPrecondition with a
// RecoverableError detail when a retry may cure it, Unimplemented for
// errors.ErrUnsupported, the context's codes for its errors, else Unknown; the
// text is err's.
func ToError(err error) error {
	switch {
	case err == nil:
		return nil
	case plugins.IsRecoverable(err):
		s, detailErr := status.New(codes.FailedPrecondition, err.Error()).WithDetails(&shared.RecoverableError{Recoverable: true})
		if detailErr != nil {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
		return s.Err()
	case errors.Is(err, errors.ErrUnsupported):
		return status.Error(codes.Unimplemented, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return status.Error(codes.Unknown, err.Error())
}

// FromError gives the contract's form of an error of a gRPC call: without
// gRPC's prefix, Recoverable where the detail says so, and wrapping
// plugins.ErrTaskNotFound, plugins.ErrUnavailable, errors.ErrUnsupported,
// context.Canceled or context.DeadlineExceeded where it means these. An error
// that is not a gRPC status is given back as it is.
func FromError(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	text := s.Message()
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", plugins.ErrUnavailable, text)
	case codes.Unimplemented:
		return marked(text, errors.ErrUnsupported)
	case codes.Canceled:
		return marked(text, context.Canceled)
	case codes.DeadlineExceeded:
		return marked(text, context.DeadlineExceeded)
	}
	out := errors.New(text)
	if strings.Contains(text, plugins.ErrTaskNotFound.Error()) {
		out = marked(text, plugins.ErrTaskNotFound)
	}
	for _, d := range s.Details() {
		if r, ok := d.(*shared.RecoverableError); ok && r.Recoverable {
			return plugins.Recoverable(out)
		}
	}
	return out
}

// textError has a foreign text and one of our meanings.
type textError struct {
	text  string
	cause error
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.cause }

// marked is cause itself when the text adds nothing.
func marked(text string, cause error) error {
	if text == "" || text == cause.Error() {
		return cause
	}
	return &textError{text, cause}
}
