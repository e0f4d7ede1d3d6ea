package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// DecodeJob decodes the JSON form of a job, full or sparse, over the defaults.
// Unknown fields that are not empty come back as warnings. Malformed JSON and
// values of a wrong type are an Error (CodeInvalid) that names field, line and
// column. The job is not yet canonical: see Canonicalize.
func DecodeJob(data []byte) (*Job, []string, error) {
	tree, err := jsonObject(data)
	if err != nil {
		return nil, nil, err
	}
	d := &decoder{}
	j := d.buildJob(tree)
	if len(d.faults) > 0 {
		return nil, d.warnings, faultsError(d.faults, func(path string) string {
			return " (" + position(data, locate(data, path)) + ")"
		})
	}
	return j, d.warnings, nil
}

// UnmarshalJSON decodes a job over its defaults; unknown fields are skipped,
// so that a newer server's answers can be read. See DecodeJob.
func (j *Job) UnmarshalJSON(data []byte) error {
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil
	}
	decoded, _, err := DecodeJob(data)
	if err != nil {
		return err
	}
	*j = *decoded
	return nil
}

// jsonObject reads one JSON object within the limits.
func jsonObject(data []byte) (map[string]any, error) {
	if len(data) > MaxJobBytes {
		return nil, Errorf(CodeInvalid, "the job is %d bytes long; at most %d are accepted", len(data), MaxJobBytes)
	}
	if at, deep := TooDeep(data); deep {
		return nil, Errorf(CodeInvalid, "the job nests deeper than %d levels (%s)", MaxNesting, position(data, at))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, syntaxError(data, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, Errorf(CodeInvalid, "there is more after the job's end (%s)", position(data, int(dec.InputOffset())))
	}
	tree, ok := v.(map[string]any)
	if !ok {
		return nil, Errorf(CodeInvalid, "a job must be an object, not %s", describeRoot(v))
	}
	return tree, nil
}

func describeRoot(v any) string {
	if v == nil {
		return "null"
	}
	return describe(v)
}

func syntaxError(data []byte, err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return Errorf(CodeInvalid, "malformed JSON: %v (%s)", err, position(data, int(syntax.Offset)-1))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Errorf(CodeInvalid, "malformed JSON: it ends too early (%s)", position(data, len(data)))
	}
	return Errorf(CodeInvalid, "malformed JSON: %v", err)
}

// TooDeep scans JSON for nesting beyond MaxNesting, so that recursive parsers
// are safe; at is the offset of the first bracket too many.
func TooDeep(data []byte) (at int, deep bool) {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxNesting {
				return i, true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0, false
}

// position is "line 3, column 14" of an offset; columns count bytes.
func position(data []byte, offset int) string {
	offset = max(0, min(offset, len(data)))
	before := data[:offset]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := offset - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// locate finds the offset of the value at a JSON path such as
// TaskGroups[0].Count by reading the text again: only errors pay for it.
func locate(data []byte, path string) int {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for _, step := range steps(path) {
		if !descend(dec, step) {
			break
		}
	}
	at := int(dec.InputOffset())
	for at < len(data) && strings.IndexByte(" \t\r\n:,", data[at]) >= 0 {
		at++
	}
	return at
}

// steps splits A[0].B into A, 0, B.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// descend moves into the value before it to the element that step names.
func descend(dec *json.Decoder, step string) bool {
	open, err := dec.Token()
	if err != nil {
		return false
	}
	index, notIndex := strconv.Atoi(step)
	for i := 0; dec.More(); i++ {
		if open == json.Delim('{') {
			key, err := dec.Token()
			if name, ok := key.(string); err != nil || !ok || strings.EqualFold(name, step) {
				return err == nil
			}
		} else if notIndex == nil && i == index {
			return true
		}
		var skipped json.RawMessage
		if dec.Decode(&skipped) != nil {
			return false
		}
	}
	return false
}
