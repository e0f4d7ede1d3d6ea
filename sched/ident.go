package sched

import (
	"encoding/hex"
	"math/rand/v2"

	"github.com/steppe-project/steppe/model"
)

// idSource makes ids that are UUIDs of version 4 in form. They differ for each
// evaluation, snapshot and attempt, so that a second decision never reuses the
// ids of a first one that was committed in part; the same decision made twice
// has the same ids, so that committing it twice changes nothing.
type idSource struct{ rng *rand.Rand }

func newIDSource(seed uint64, eval *model.Evaluation, index uint64) *idSource {
	return &idSource{rand.New(rand.NewPCG(evalSeed(seed, eval), index<<8^uint64(eval.Attempts)))}
}

// evalSeed differs for each evaluation under the same seed.
func evalSeed(seed uint64, eval *model.Evaluation) uint64 { return fnv1a(eval.ID) ^ seed }

// jobSeed is the same for all evaluations of a job, so that the nodes a forecast
// names are those that are chosen then; jobs that are placed at the same time differ.
func jobSeed(eval *model.Evaluation) uint64 { return fnv1a(eval.Namespace, eval.JobID) }

// fnv1a is the hash of that name, each part ended by a zero byte but the last.
func fnv1a(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for i, part := range parts {
		if i > 0 {
			h *= 1099511628211
		}
		for k := range len(part) {
			h = (h ^ uint64(part[k])) * 1099511628211
		}
	}
	return h
}

// next returns a new id.
func (s *idSource) next() string {
	var b [16]byte
	hi, lo := s.rng.Uint64(), s.rng.Uint64()
	for i := range 8 {
		b[i], b[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[:8], b[:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
