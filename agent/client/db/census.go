package db

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// census is how many records each table has. It is written with every
// transaction: bbolt's pages have no checksums, and one whose count has flipped
// hides records.
type census map[string]int

// keyCensus is the census's key in meta.
var keyCensus = []byte("census")

// tables are counted.
var tables = [][]byte{bucketAllocs, bucketTasks, bucketDrivers}

// readCensus returns the census; of a file that an earlier version wrote, what is
// there.
func readCensus(tx *bolt.Tx) (census, error) {
	v := tx.Bucket(bucketMeta).Get(keyCensus)
	if v == nil {
		return countRecords(tx), nil
	}
	c := census{}
	v, err := unseal(keyCensus, v)
	if err == nil {
		err = json.Unmarshal(v, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: census: %w", ErrCorrupt, err)
	}
	return c, nil
}

func countRecords(tx *bolt.Tx) census {
	c := census{}
	for _, table := range tables {
		c[string(table)] = tx.Bucket(table).Stats().KeyN
	}
	return c
}

func (c census) write(tx *bolt.Tx) error {
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(keyCensus, seal(keyCensus, v))
}

// check compares the census with what was read.
func (c census) check(have census) error {
	for _, table := range tables {
		if c[string(table)] != have[string(table)] {
			return fmt.Errorf("%w: %d records of %s, there were %d", ErrCorrupt, have[string(table)], table, c[string(table)])
		}
	}
	return nil
}
