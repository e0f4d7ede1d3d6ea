// Package fault says what is wrong with the body of a request, and where.
//
// Contract: the words are those of the decoder, with the line.
//
// Example:
//
//	if err := json.Unmarshal(raw, &v); err != nil { return fault.JSON(raw, err) }
package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// JSON adds the line to a JSON error.
func JSON(raw []byte, err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	at := int64(-1)
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &typ):
		at = typ.Offset
	}
	if at < 0 || at > int64(len(raw)) {
		return err.Error()
	}
	return fmt.Sprintf("%v (line %d of the body)", err, 1+bytes.Count(raw[:at], []byte("\n")))
}
