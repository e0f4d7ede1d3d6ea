package operator

import (
	"flag"
	"strconv"

	"github.com/steppe-project/steppe/model"
)

// choice registers an option that is true, false or not given, which leaves into
// nil.
func choice(fs *flag.FlagSet, into **bool, name, usage string) {
	fs.Func(name, "`true or false`: "+usage, func(text string) error {
		v, err := strconv.ParseBool(text)
		if err != nil {
			return model.Errorf(model.CodeInvalid, "it is neither true nor false")
		}
		*into = &v
		return nil
	})
}

// assign sets into to what was given, if anything.
func assign[T any](into *T, given *T) {
	if given != nil {
		*into = *given
	}
}

// errChanged: a compare-and-set found another index.
func errChanged() error {
	return model.Errorf(model.CodeConflict, "somebody else has changed the configuration: nothing was done, look and try again")
}
