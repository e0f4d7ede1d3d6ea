package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/fsm/state/block"
	"github.com/steppe-project/steppe/model"
)

// fill sets every field of a value to something other than zero.
func fill(v reflect.Value, rng *rand.Rand, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), rng, depth-1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(rng.Int64N(1e9), rng.Int64N(1e9)).Local()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), rng, depth)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), rng, depth)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, rng, depth)
			fill(value, rng, depth)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString(string(rune('a'+rng.IntN(26))) + "text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1 + rng.Int64N(99))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + rng.Uint64N(99))
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	case reflect.Interface:
		v.Set(reflect.ValueOf("any"))
	}
}

// Every field of an allocation survives a snapshot: a field that is added to
// the model must be added to the record.
func TestAllocRecordComplete(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := New()
	var rows []*model.Allocation
	for _, name := range []string{"full", "", "twin"} {
		a := &model.Allocation{}
		if name != "" {
			fill(reflect.ValueOf(a).Elem(), rng, 4)
		}
		a.ID = "id-" + name
		rows = append(rows, a)
	}
	rows[1].ID = "id-empty"
	rows[2].Job, rows[2].AllocatedResources, rows[2].Metrics = rows[0].Job, rows[0].AllocatedResources, rows[0].Metrics
	rows[2].JobID, rows[2].TaskGroup, rows[2].Name = "job", "group", model.AllocName("job", "group", 3)
	write(s, rows[0], rows[1], rows[2])
	var buf bytes.Buffer
	n, err := s.Snapshot().WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("wrote %d of %d: %v", n, buf.Len(), err)
	}
	back := New()
	if err := back.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if back.Snapshot().Hash() != s.Snapshot().Hash() {
		t.Fatal("hash differs")
	}
	for _, want := range rows {
		got := back.Snapshot().Alloc(want.ID)
		// The codec does not keep every empty value apart from nil.
		if want.ID == "id-empty" {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			continue
		}
		gv, wv := reflect.ValueOf(*got), reflect.ValueOf(*want)
		for i := range wv.NumField() {
			name := wv.Type().Field(i).Name
			if name == "Job" {
				if got.Job.ID != want.Job.ID {
					t.Errorf("%s: job %q", want.ID, got.Job.ID)
				}
				continue
			}
			if !reflect.DeepEqual(gv.Field(i).Interface(), wv.Field(i).Interface()) {
				t.Errorf("%s.%s: got %+v, want %+v", want.ID, name, gv.Field(i), wv.Field(i))
			}
		}
	}
	full, twin := back.Snapshot().Alloc("id-full"), back.Snapshot().Alloc("id-twin")
	if full.Job != twin.Job || full.AllocatedResources != twin.AllocatedResources || full.Metrics != twin.Metrics {
		t.Error("what was shared is not shared any more")
	}
}

// snapshotOf is a store with a row in every table, as a snapshot.
func snapshotOf(t testing.TB) []byte {
	s := New()
	job := &model.Job{ID: "web", Namespace: "default", Meta: map[string]string{"a": "1"}}
	a := alloc("a", "web", "n1")
	a.Job = job
	write(s, node(1), job, a, &Submission{JobID: "web", Text: &model.JobSubmission{Source: "x"}}, &Request{ID: "r", Value: []byte{1}},
		&model.Evaluation{ID: "e", JobID: "web", Namespace: "default"}, &model.Deployment{ID: "d"}, &model.ClusterMetadata{ClusterID: "c"}, &model.SigningKey{KeyID: "k"})
	x := s.Begin(9)
	x.PutVersion(job)
	x.Publish()
	var buf bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A snapshot that was cut, changed or written by a newer version is refused,
// and the state stays as it was.
func TestRestoreRefuses(t *testing.T) {
	good := snapshotOf(t)
	s := New()
	write(s, node(7))
	before := s.Snapshot()
	refuse := func(name string, data []byte, want error) {
		t.Helper()
		if err := s.Restore(bytes.NewReader(data)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if s.Snapshot() != before {
			t.Fatalf("%s: the state changed", name)
		}
	}
	for n := 0; n < len(good); n += 5 {
		refuse("cut", good[:n], ErrSnapshotCut)
	}
	for i := 0; i < len(good); i += 3 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if err := s.Restore(bytes.NewReader(bad)); err == nil || s.Snapshot() != before {
			t.Fatalf("byte %d was changed: %v", i, err)
		}
	}
	newer := bytes.Clone(good)
	newer[len("STEPPE")+1]++
	refuse("newer", newer, ErrSnapshotNewer)
	refuse("other file", bytes.Repeat([]byte("x"), 99), ErrSnapshotDamaged)
	header := func(h msgp.Marshaler) []byte {
		b, err := h.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := frame{blockHeader, header(&snapshotHeader{Index: 5})}
	refuse("newer section", withBlocks(first, frame{99, []byte{1}}), ErrSnapshotNewer)
	refuse("newer table", withBlocks(frame{blockHeader, header(&snapshotHeader{Changed: map[string]uint64{"new": 1}})}), ErrSnapshotNewer)
	refuse("no header", withBlocks(frame{sections[TableNodes], nil}), ErrSnapshotDamaged)
	refuse("long row", withBlocks(first, frame{sections[TableNodes], []byte{200, 1}}), ErrSnapshotDamaged)
	refuse("wrong count", withBlocks(first, frame{blockEnd, header(&snapshotEnd{Rows: map[string]uint64{"nodes": 1}})}), ErrSnapshotDamaged)
	refuse("end unreadable", withBlocks(first, frame{blockEnd, []byte{1}}), ErrSnapshotDamaged)
	nodes := frame{sections[TableNodes], rowsOf(node(1))}
	refuse("twice", withBlocks(first, nodes, nodes), ErrSnapshotDamaged)
	refuse("two places", withBlocks(first, nodes, frame{sections[TableJobs], nil}, frame{sections[TableNodes], rowsOf(node(2))}), ErrSnapshotDamaged)
	huge := withBlocks(first)
	huge = binary.BigEndian.AppendUint32(huge, 1<<31)
	refuse("huge block", append(huge, 1), ErrSnapshotDamaged)
	refuse("no version of the job", withBlocks(first, frame{sections[TableAllocs], rowsOf(&allocRecord{ID: "a", JobRef: 1})}), ErrSnapshotDamaged)
	refuse("unknown reference", withBlocks(first, frame{sections[TableAllocs], rowsOf(&allocRecord{ID: "a", MetricsRef: 7})}), ErrSnapshotDamaged)
	if err := s.Restore(bytes.NewReader(good)); err != nil || s.Snapshot().Alloc("a").Job == nil {
		t.Fatalf("the good one: %v", err)
	}
}

type frame struct {
	section byte
	payload []byte
}

// withBlocks is a snapshot of blocks with right checksums.
func withBlocks(blocks ...frame) []byte {
	var out bytes.Buffer
	w := block.NewWriter(&out)
	err := w.Open()
	for _, b := range blocks {
		err = errors.Join(err, w.Write(b.section, b.payload))
	}
	if err := errors.Join(err, w.Flush()); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

func rowsOf(rows ...msgp.Marshaler) (payload []byte) {
	for _, row := range rows {
		b, _ := row.MarshalMsg(nil)
		payload = append(binary.AppendUvarint(payload, uint64(len(b))), b...)
	}
	return payload
}

// Nothing that can be read as a snapshot makes Restore panic; what it accepts
// can be written and restored again to the same state.
func FuzzRestore(f *testing.F) {
	good := snapshotOf(f)
	f.Add(good, byte(0), []byte(nil))
	f.Add([]byte("STEPPE\x00\x01"), byte(16), []byte{1, 0x80})
	for t, n := range sections {
		f.Add([]byte(t), n, rowsOf(&allocRecord{ID: "a"}))
	}
	f.Fuzz(func(t *testing.T, data []byte, section byte, payload []byte) {
		s := New()
		checkRestored(t, s, s.Restore(bytes.NewReader(data)))
		head, _ := (&snapshotHeader{Index: 3}).MarshalMsg(nil)
		var rows snapshotEnd
		if name, ok := sectionTables[section]; ok && len(payload) > 0 {
			rows.Rows = map[string]uint64{string(name): countRows(payload)}
		}
		tail, _ := rows.MarshalMsg(nil)
		crafted := withBlocks(frame{blockHeader, head}, frame{section, payload}, frame{blockEnd, tail})
		checkRestored(t, s, s.Restore(bytes.NewReader(crafted)))
	})
}

// countRows counts the rows of a payload as far as they are whole.
func countRows(payload []byte) (count uint64) {
	for len(payload) > 0 {
		size, n := binary.Uvarint(payload)
		if n <= 0 || size > uint64(len(payload)-n) {
			return count
		}
		payload = payload[n+int(size):]
		count++
	}
	return count
}

func checkRestored(t *testing.T, s *Store, err error) {
	if err != nil {
		return
	}
	var buf bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Restore(&buf); err != nil {
		t.Fatalf("what was restored cannot be restored again: %v", err)
	}
	if again.Snapshot().Hash() != s.Snapshot().Hash() {
		t.Fatal("states differ")
	}
}

// A Hasher that has seen other states hashes as one that has not.
func TestHasherRemembers(t *testing.T) {
	s, job := New(), &model.Job{ID: "job"}
	var h Hasher
	seen := map[[32]byte]bool{}
	for i := range 6 {
		a := alloc(fmt.Sprint("a", i%4), "job", "n1") // from the fourth on, rows are replaced
		a.Job, a.DesiredStatus = job, fmt.Sprint(i)
		if i == 3 {
			job = &model.Job{ID: "job", Version: 1}
		}
		write(s, a, node(i%2))
		got := h.Hash(s.Snapshot())
		if got != s.Snapshot().Hash() || h.Hash(s.Snapshot()) != got {
			t.Fatalf("step %d: what is remembered hashes otherwise", i)
		}
		if seen[got] {
			t.Fatalf("step %d: hashes as a state before it", i)
		}
		seen[got] = true
	}
	var fresh Hasher
	if fresh.Hash(s.Snapshot()); len(h.rows) != len(fresh.rows) || len(h.shared) != len(fresh.shared) {
		t.Errorf("%d rows and %d values are remembered of %d and %d", len(h.rows), len(h.shared), len(fresh.rows), len(fresh.shared))
	}
}
