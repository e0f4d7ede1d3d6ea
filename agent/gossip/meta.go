package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"
	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/model"
)

// MaxMetaBytes bounds an encoded Meta: it travels in every message about a
// member and has to fit a datagram with others.
const MaxMetaBytes = memberlist.MetaMaxSize

// metaVersion is the first byte of an encoded Meta. A msgpack array of the
// fields in the order of metaFields follows. Later versions append fields,
// which are skipped here, and raise the byte only when they cannot be
// understood without.
const metaVersion = 1

// metaFields is the number of fields this version writes, metaNeeded that of the
// first version.
const (
	metaFields = 14
	metaNeeded = 9
)

// Role bits of an encoded Meta.
const (
	flagServer = 1 << iota
	flagClient
	flagBootstrapped
	flagNonVoter
	flagHolds
)

// Encode returns the wire form. CodeInvalid when the names are too long.
func (m Meta) Encode() ([]byte, error) {
	b := []byte{metaVersion}
	b = msgp.AppendArrayHeader(b, metaFields)
	b = msgp.AppendInt(b, m.flags())
	b = msgp.AppendInt(b, m.Protocol)
	b = msgp.AppendInt(b, m.Expect)
	for _, s := range []string{m.Name, m.Region, m.Datacenter, m.RPCAddr, m.HTTPAddr, m.Build, m.WANAddr, m.Zone, m.Upgrade} {
		b = msgp.AppendString(b, s)
	}
	b = msgp.AppendInt(b, m.Level)
	b = msgp.AppendInt(b, m.Active)
	if len(b) > MaxMetaBytes {
		return nil, model.Errorf(model.CodeInvalid,
			"name, region, datacenter and addresses of the agent are too long to be told to the others (%d bytes, %d are allowed)", len(b), MaxMetaBytes)
	}
	return b, nil
}

func (m Meta) flags() int {
	flags := 0
	for bit, set := range map[int]bool{
		flagServer: m.Server, flagClient: m.Client, flagBootstrapped: m.Bootstrapped, flagNonVoter: m.NonVoter, flagHolds: m.Holds,
	} {
		if set {
			flags |= bit
		}
	}
	return flags
}

// DecodeMeta reads the wire form.
func DecodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) == 0 || len(b) > MaxMetaBytes {
		return m, fmt.Errorf("meta of %d bytes", len(b))
	}
	if b[0] != metaVersion {
		return m, fmt.Errorf("meta of version %d, this agent understands %d", b[0], metaVersion)
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b[1:])
	if err != nil {
		return m, fmt.Errorf("meta: %w", err)
	}
	if n < metaNeeded {
		return m, fmt.Errorf("meta of %d fields, %d are needed", n, metaNeeded)
	}
	var flags int
	for _, p := range []*int{&flags, &m.Protocol, &m.Expect} {
		if *p, b, err = msgp.ReadIntBytes(b); err != nil {
			return m, fmt.Errorf("meta: %w", err)
		}
	}
	texts := []*string{&m.Name, &m.Region, &m.Datacenter, &m.RPCAddr, &m.HTTPAddr, &m.Build, &m.WANAddr, &m.Zone, &m.Upgrade}
	for _, p := range texts[:min(int(n)-3, len(texts))] { // three numbers were before
		if *p, b, err = msgp.ReadStringBytes(b); err != nil {
			return m, fmt.Errorf("meta: %w", err)
		}
	}
	for _, p := range []*int{&m.Level, &m.Active}[:max(min(int(n)-3-len(texts), 2), 0)] {
		if *p, b, err = msgp.ReadIntBytes(b); err != nil {
			return m, fmt.Errorf("meta: %w", err)
		}
	}
	for range int(n) - metaFields {
		if b, err = msgp.Skip(b); err != nil {
			return m, fmt.Errorf("meta: %w", err)
		}
	}
	m.Server, m.Client = flags&flagServer != 0, flags&flagClient != 0
	m.Bootstrapped, m.NonVoter, m.Holds = flags&flagBootstrapped != 0, flags&flagNonVoter != 0, flags&flagHolds != 0
	return m, nil
}
