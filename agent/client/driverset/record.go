package driverset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// record is a file beside a driver's sockets that says how its process is
// reached. The client's state says so too; when that is lost, the process is
// found by the record and not left running without an owner.
type record string

// recordOf names a driver's record; none where dir is "" or name is no file name.
func recordOf(dir, name string) record {
	if dir == "" || strings.ContainsRune(name, filepath.Separator) {
		return ""
	}
	return record(filepath.Join(dir, "driver-"+name+".json"))
}

// read returns what was last written, nil for nothing.
func (r record) read() ([]byte, error) {
	if r == "" {
		return nil, nil
	}
	data, err := os.ReadFile(string(r))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how to find a driver's process: %w", err)
	}
	return data, nil
}

// write keeps data; nil = forget.
func (r record) write(data []byte) error {
	if r == "" {
		return nil
	}
	path := string(r)
	if data == nil {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("keep how to find a driver's process: %w", err)
	}
	return os.Rename(path+".new", path)
}
