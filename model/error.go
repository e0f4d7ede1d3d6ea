package model

import (
	"errors"
	"fmt"
)

// Code classifies an error; each edge maps it once (HTTP, gRPC, exit status).
type Code string

// The codes.
const (
	CodeInvalid     Code = "invalid"
	CodeNotFound    Code = "not_found"
	CodeConflict    Code = "conflict"
	CodeDenied      Code = "denied"
	CodeUnavailable Code = "unavailable"
	CodeNotLeader   Code = "not_leader"
	CodeInternal    Code = "internal"
)

// Error is an error with a Code. Message is for people: what was wrong, where,
// and what to do.
type Error struct {
	Code    Code
	Message string
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an Error; %w keeps the wrapped error as cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// CodeOf returns the code of err or of the first Error it wraps; CodeInternal
// for an error without one and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Problem is one fault of a job or configuration. Path names the place in the
// form job.group["web"].task["app"].resources.cpu; the job file parser maps it
// to file, line and column. Hint says what to do instead.
type Problem struct {
	Path    string
	Message string
	Hint    string
}

// String is the problem in one line.
func (p Problem) String() string {
	s := p.Message
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}
