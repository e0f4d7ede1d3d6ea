package plugins

import "errors"

// recoverable marks an error that may go away by itself.
type recoverable struct{ err error }

func (r *recoverable) Error() string { return r.err.Error() }
func (r *recoverable) Unwrap() error { return r.err }

// Recoverable marks err as one that a retry may cure; nil stays nil.
func Recoverable(err error) error {
	if err == nil {
		return nil
	}
	return &recoverable{err}
}

// IsRecoverable tells whether err or one that it wraps was marked Recoverable.
func IsRecoverable(err error) bool {
	var r *recoverable
	return errors.As(err, &r)
}
