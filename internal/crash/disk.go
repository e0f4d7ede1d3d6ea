package crash

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	pageBytes   = 4096
	sectorBytes = 512 // written whole or not at all
)

// content is a file's bytes; pages are never changed but replaced.
type content struct {
	size  int64
	pages map[int64][]byte // absent = zeros
}

func (c *content) clone() content {
	out := content{size: c.size, pages: make(map[int64][]byte, len(c.pages))}
	for i, p := range c.pages {
		out.pages[i] = p
	}
	return out
}

func (c *content) write(off int64, data []byte) {
	if c.pages == nil {
		c.pages = map[int64][]byte{}
	}
	c.size = max(c.size, off+int64(len(data)))
	for len(data) > 0 {
		i, at := off/pageBytes, off%pageBytes
		page := make([]byte, pageBytes)
		copy(page, c.pages[i])
		n := copy(page[at:], data)
		c.pages[i] = page
		data, off = data[n:], off+int64(n)
	}
}

func (c *content) truncate(size int64) {
	if size < c.size {
		for i, p := range c.pages {
			switch start := i * pageBytes; {
			case start >= size:
				delete(c.pages, i)
			case start+pageBytes > size:
				page := make([]byte, pageBytes)
				copy(page, p[:size-start])
				c.pages[i] = page
			}
		}
	}
	c.size = size
}

// inode is a file or directory, as running processes see it and as the disk has it.
type inode struct {
	dir       bool
	now, kept content
	pending   []Op // since the last fsync
	names     map[string]*inode
	keptNames map[string]*inode
}

func newDir() *inode {
	return &inode{dir: true, names: map[string]*inode{}, keptNames: map[string]*inode{}}
}

// rename is one change of names that no fsync covers yet; node nil = removed.
type change struct {
	dir  *inode
	name string
	node *inode
}

// Disk follows the changes of a file system and knows what a loss of power leaves.
type Disk struct {
	root    *inode
	changes [][]change // of names, oldest first; those of one call belong together
}

// NewDisk has one empty directory.
func NewDisk() *Disk { return &Disk{root: newDir()} }

// find returns the inode at path, nil when there is none.
func (d *Disk) find(path string) *inode {
	at := d.root
	for _, name := range strings.Split(path, "/") {
		if name == "." {
			continue
		}
		if at == nil || !at.dir {
			return nil
		}
		at = at.names[name]
	}
	return at
}

// Apply makes one change.
func (d *Disk) Apply(o *Op) error {
	if o.Call == "said" {
		return nil
	}
	parent, name := d.find(filepath.Dir(o.Path)), filepath.Base(o.Path)
	node := d.find(o.Path)
	if o.Failed {
		if o.Call == "sync" && node != nil && !node.dir {
			node.pending = nil // Linux may drop what it could not write
		}
		return nil
	}
	if parent == nil || node == nil && o.Call != "create" && o.Call != "mkdir" {
		return fmt.Errorf("%s of %s, which is not there", o.Call, o.Path)
	}
	switch o.Call {
	case "create":
		d.rename(change{parent, name, &inode{}})
	case "mkdir":
		d.rename(change{parent, name, newDir()})
	case "unlink":
		d.rename(change{parent, name, nil})
	case "rename":
		to := d.find(filepath.Dir(o.To))
		if to == nil {
			return fmt.Errorf("rename to %s, which is nowhere", o.To)
		}
		d.rename(change{parent, name, nil}, change{to, filepath.Base(o.To), node})
	case "write", "truncate":
		node.apply(o)
		node.pending = append(node.pending, *o)
	case "sync":
		d.sync(node)
	default:
		return fmt.Errorf("unknown change %q", o.Call)
	}
	return nil
}

func (n *inode) apply(o *Op) {
	if o.Call == "write" {
		n.now.write(o.Off, o.Data)
		return
	}
	n.now.truncate(o.Size)
}

func (d *Disk) rename(unit ...change) {
	for _, c := range unit {
		set(c.dir.names, c.name, c.node)
	}
	d.changes = append(d.changes, unit)
}

func set(names map[string]*inode, name string, node *inode) {
	if node == nil {
		delete(names, name)
		return
	}
	names[name] = node
}

// sync makes durable what an inode has: a file's bytes, or a directory's names.
func (d *Disk) sync(n *inode) {
	if !n.dir {
		n.kept, n.pending = n.now.clone(), nil
		return
	}
	d.changes = slices.DeleteFunc(d.changes, func(unit []change) bool {
		mine := slices.ContainsFunc(unit, func(c change) bool { return c.dir == n })
		for _, c := range unit {
			if mine {
				set(c.dir.keptNames, c.name, c.node)
			}
		}
		return mine
	})
}

// Image is a file system at rest: contents by path, "/" at the end for directories.
type Image map[string]content

// Image returns what is there: for None what processes see, else what a loss of
// power leaves; dice throws for PowerMixed.
func (d *Disk) Image(kind Kind, dice *rand.Rand) Image {
	img := Image{}
	names := func(n *inode) map[string]*inode { return n.names }
	bytes := func(n *inode) content { return n.kept }
	switch kind {
	case None:
		bytes = func(n *inode) content { return n.now }
	case PowerLost:
		names = func(n *inode) map[string]*inode { return n.keptNames }
	case PowerMixed:
		survived := d.someNames(dice)
		names = func(n *inode) map[string]*inode { return survived[n] }
		bytes = func(n *inode) content { return n.some(dice) }
	}
	img.add(d.root, "", names, bytes)
	return img
}

func (img Image) add(n *inode, path string, names func(*inode) map[string]*inode, bytes func(*inode) content) {
	for _, name := range sortedNames(names(n)) {
		child, at := names(n)[name], filepath.Join(path, name)
		if child.dir {
			img[at+"/"] = content{}
			img.add(child, at, names, bytes)
			continue
		}
		img[at] = bytes(child)
	}
}

func sortedNames(names map[string]*inode) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// someNames has the changes of names up to a random one.
func (d *Disk) someNames(dice *rand.Rand) map[*inode]map[string]*inode {
	out := map[*inode]map[string]*inode{}
	var visit func(n *inode)
	visit = func(n *inode) {
		if !n.dir || out[n] != nil {
			return
		}
		out[n] = map[string]*inode{}
		for name, child := range n.keptNames {
			out[n][name] = child
			visit(child)
		}
		for _, child := range n.names {
			visit(child)
		}
	}
	visit(d.root)
	for _, unit := range d.changes[:dice.IntN(len(d.changes)+1)] {
		for _, c := range unit {
			if out[c.dir] == nil {
				visit(c.dir)
			}
			set(out[c.dir], c.name, c.node)
			if c.node != nil {
				visit(c.node)
			}
		}
	}
	return out
}

// some is what is kept and a random part of what is pending: of each write all,
// nothing, or any of its sectors.
func (n *inode) some(dice *rand.Rand) content {
	c := n.kept.clone()
	for i := range n.pending {
		o := &n.pending[i]
		fate := dice.IntN(3)
		switch {
		case fate == 0:
		case o.Call == "truncate":
			c.truncate(o.Size)
		case fate == 1:
			c.write(o.Off, o.Data)
		default:
			for at := 0; at < len(o.Data); at += sectorBytes {
				if dice.IntN(2) == 0 {
					c.write(o.Off+int64(at), o.Data[at:min(at+sectorBytes, len(o.Data))])
				}
			}
		}
	}
	return c
}

// Sum names an image by its contents.
func (img Image) Sum() string {
	sum := sha256.New()
	for _, path := range img.paths() {
		c := img[path]
		fmt.Fprintf(sum, "%q %d\n", path, c.size)
		pages := make([]int64, 0, len(c.pages))
		for i := range c.pages {
			pages = append(pages, i)
		}
		slices.Sort(pages)
		for _, i := range pages {
			fmt.Fprintf(sum, "%d:", i)
			sum.Write(c.pages[i]) // never fails
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func (img Image) paths() []string {
	out := make([]string, 0, len(img))
	for path := range img {
		out = append(out, path)
	}
	slices.Sort(out)
	return out
}

// Write lays an image out below dir, which is empty.
func (img Image) Write(dir string) error {
	for _, path := range img.paths() {
		at := filepath.Join(dir, path)
		if strings.HasSuffix(path, "/") {
			if err := os.MkdirAll(at, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := img[path].writeFile(at); err != nil {
			return err
		}
	}
	return nil
}

func (c content) writeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // every write below is checked; nothing needs to be durable
	for i, page := range c.pages {
		if _, err := f.WriteAt(page, i*pageBytes); err != nil {
			return err
		}
	}
	return f.Truncate(c.size)
}
