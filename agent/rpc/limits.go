package rpc

import "time"

const (
	// MaxMessageBytes bounds one request, response or stream message. A job with
	// its submission, a plan of thousands of placements and a log chunk fit well;
	// a sender that needs more pages or streams.
	MaxMessageBytes = 64 << 20
	// maxErrorBytes bounds the text of an error that travels (a header block).
	maxErrorBytes = 32 << 10
	// maxHeaderBytes bounds a header block: an error text, percent-encoded.
	maxHeaderBytes = 256 << 10

	// maxStreamsPerConn bounds concurrent calls of one connection. Blocking
	// queries of a follower's clients all share its connection to the leader.
	maxStreamsPerConn = 100_000
	// readyTimeout bounds waiting for a connection before a call moves on.
	readyTimeout = 3 * time.Second
	// pingInterval and pingTimeout are HTTP/2 keep-alive, which also notices a
	// stopped process. gRPC allows clients no shorter interval than 10 s.
	pingInterval = 10 * time.Second
	pingTimeout  = 3 * time.Second
	// flowWindow is how much of a stream, and of a connection, may be under way. As
	// a fixed window it also keeps gRPC from measuring the connection with a ping
	// for every message, which was most of what an idle fleet cost.
	flowWindow = 4 << 20
	// connBuffer is what reading keeps of memory for every connection (below it
	// lies that of TLS), writeBuffer what writing takes only while it writes.
	connBuffer  = 4 << 10
	writeBuffer = 16 << 10
	// laneCallBytes is the largest request that goes by lane: what is longer is worth
	// a stream of its own, and would hold the others up.
	laneCallBytes = 64 << 10
	// laneAgain is how long one that knows no lanes is not asked again.
	laneAgain = 30 * time.Second
	// clientIdle closes pooled connections that carried nothing for so long.
	clientIdle = time.Minute
	// maxPoolConns bounds a pool; beyond it, idle connections are dropped first.
	maxPoolConns = 1024

	// forwardPatience bounds how long a call waits for a leader to appear.
	forwardPatience = 8 * time.Second
	// forwardBackoffMin and Max pace retries of a forwarded call.
	forwardBackoffMin = 10 * time.Millisecond
	forwardBackoffMax = 250 * time.Millisecond
	// deposedGrace is how long a superseded leader may still answer a call before it
	// is given up with unknown outcome: one that handed over needs milliseconds.
	deposedGrace = 300 * time.Millisecond
	// shutdownGrace bounds waiting for running handlers when serving ends.
	shutdownGrace = 2 * time.Second

	// pipeDepth is how many messages an in-process stream holds per direction.
	pipeDepth = 16
	// tunnelChunk is the largest piece of a tunnel carried in one message.
	tunnelChunk = 32 << 10
)
