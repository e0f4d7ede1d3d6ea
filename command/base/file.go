package base

import (
	"io"
	"os"
	"path/filepath"

	"github.com/steppe-project/steppe/model"
)

// ReadFile reads a file, or standard input for "-", of at most so many bytes.
func (o *IO) ReadFile(path string, most int64) ([]byte, error) {
	in := o.In
	if path != "-" {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return nil, model.Errorf(model.CodeInvalid, "%w", err)
		}
		defer f.Close()
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "reading %s: %w", path, err)
	}
	if int64(len(src)) > most {
		return nil, model.Errorf(model.CodeInvalid, "%s is larger than the limit of %s", path, Bytes(most))
	}
	return src, nil
}

// WriteNew writes a file that does not exist yet.
func WriteNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return model.Errorf(model.CodeConflict, "%s exists: it was left alone", path)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// Pairs are the keys and values of a map, one a row, in order.
func Pairs(m map[string]string) [][]string {
	var rows [][]string
	for _, k := range Keys(m) {
		rows = append(rows, []string{k, m[k]})
	}
	return rows
}
