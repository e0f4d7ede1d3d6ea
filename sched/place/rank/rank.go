// Package rank orders the nodes that an instance fits, and keeps them in order
// while instances are placed. It knows rows, scores and values of attributes; what
// fits, and how a node scores by itself, package place tells it.
//
// Contract and invariants:
//
//   - Lead is the candidate with the highest final score of all, by tie where
//     several have it. Nothing is sampled.
//   - Of one spread block every value comes to have its share, rounded up or down,
//     and values that are spread evenly differ by at most one, as far as there is
//     room: see tally.
//   - The order in which lanes and values become known has no effect.
//
// Example:
//
//	l := rank.New(mean, blocks, rows, 10)
//	i := l.Lane(func(block int) (string, bool) { return "dc1", true })
//	l.Fill(i, rank.Candidate{Row: 7, Score: 0.3})
//	l.Order()
//	lane, best, ok := l.Lead()
//	l.Add(lane, 1)                                          // an instance was placed,
//	l.Put(lane, rank.Candidate{Row: best.Row, Score: 0.28}) // and its node has less left
package rank

// SpreadFactor is how many times the spread component counts. Its steps are of
// 1/2 at least (see tally); packing, anti-affinity and affinity of two nodes differ
// by less than 4 in all. So of one spread block nothing outweighs a step; of
// several, each has its weight's part of that strength.
const SpreadFactor = 8

// Mean makes final scores of components, for an ask that prefers nodes: it is the
// weight of these preferences, 1 of affinities and SpreadFactor of spreading.
// 0 is no preference: candidates then come with their final scores.
type Mean float64

// Of is the weighted mean of the components, over the same ones for all nodes, less
// twice the weight of the preferences where an earlier attempt failed. Were there
// one component more of a node that is disliked, that alone would bring its mean
// nearer to 0, and other instances or a failure there would speak for it. And an
// instance that has failed on the node that is liked best, or in the value that has
// the fewest, is to go elsewhere all the same. own is the sum of packing,
// anti-affinity and affinity.
func (m Mean) Of(own, spread, penalty float64) float64 {
	return (own + SpreadFactor*spread + 2*float64(m)*penalty) / (2 + float64(m))
}
