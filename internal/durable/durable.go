// Package durable changes files so that a loss of power leaves the old or the new
// state, and no acknowledged change is lost.
//
// Contract and invariants:
//
//   - When a function has returned nil, its change survives: the contents and the
//     names in all directories concerned have been written to disk.
//   - WriteFile never leaves a file half written; a kill may leave path + ".new".
//
// Example:
//
//	err := durable.WriteFile(filepath.Join(dir, "agent-id"), []byte(id), 0o600)
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// suffix of what is being written.
const suffix = ".new"

// WriteFile replaces the file at path.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path+suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+suffix, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// ReadFile reads the file at path, nil when there is none.
func ReadFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// MkdirAll makes a directory and those above it that are missing.
func MkdirAll(path string, perm fs.FileMode) error {
	parent := filepath.Dir(path)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	err := os.Mkdir(path, perm)
	if errors.Is(err, fs.ErrExist) {
		if info, serr := os.Stat(path); serr == nil && info.IsDir() {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return SyncDir(parent)
}

// SyncDir makes the names in a directory durable.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
