package model

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxExact is the largest whole number up to which a float64 is exact.
const maxExact = 1 << 53

func wholeNumber(src any) (int64, error) {
	switch v := src.(type) {
	case int64:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= maxExact {
			return int64(v), nil
		}
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(v.String(), 64); err == nil {
			return wholeNumber(f)
		}
	}
	return 0, strconv.ErrSyntax
}

// plain turns numbers of a schema-less value (a driver's config) into int64
// where they are whole, else float64: one form for HCL, JSON and msgpack.
func plain(src any, depth int) (any, error) {
	if depth > MaxNesting {
		return nil, fmt.Errorf("nested deeper than %d", MaxNesting)
	}
	switch v := src.(type) {
	case json.Number:
		return plainNumber(v.String())
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= maxExact {
			return int64(v), nil
		}
		return v, nil
	case []any:
		return plainList(v, depth)
	case map[string]any:
		return plainMap(v, depth)
	}
	return src, nil
}

func plainList(v []any, depth int) (any, error) {
	out := make([]any, len(v))
	for i, e := range v {
		p, err := plain(e, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

func plainMap(v map[string]any, depth int) (any, error) {
	out := make(map[string]any, len(v))
	for k, e := range v {
		p, err := plain(e, depth+1)
		if err != nil {
			return nil, err
		}
		out[k] = p
	}
	return out, nil
}

func plainNumber(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("the number %s is too large", shorten(text))
	}
	if f == math.Trunc(f) && math.Abs(f) > maxExact && !strings.ContainsAny(text, ".eE") {
		return nil, fmt.Errorf("the number %s does not fit in 64 bits; write it as a string", shorten(text))
	}
	return plain(f, 0)
}
