package cron

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// aliases are the short forms.
var aliases = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

const (
	leastFields = 5
	mostFields  = 7 // with seconds and years
)

// Places of fields, counted from the minute.
const (
	placeHour  = 1
	placeMonth = 3
	placeDay   = 4 // of the week
)

var names = map[int][]string{
	placeMonth: {"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"},
	placeDay:   {"sun", "mon", "tue", "wed", "thu", "fri", "sat"},
}

// sunday is the number that days of the week may end with; it is 0, too.
const sunday = 7

// fields are the parts of an expression.
type fields []string

// fieldsOf takes an expression apart, and rewrites or refuses what the library would
// misread.
func fieldsOf(text string) (fields, error) {
	f := fields(strings.Fields(text))
	if len(f) == 1 {
		long, ok := aliases[strings.ToLower(f[0])]
		if !ok {
			return nil, fmt.Errorf("it has one field, and is none of the short forms such as @hourly")
		}
		f = strings.Fields(long)
	}
	if len(f) < leastFields || len(f) > mostFields {
		return nil, fmt.Errorf("it has %d fields, not %d to %d", len(f), leastFields, mostFields)
	}
	for i := range f {
		if err := f.mend(i); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// minute is where the minutes stand.
func (f fields) minute() int {
	if len(f) == mostFields {
		return 1
	}
	return 0
}

// mend looks at the ranges in one field.
func (f fields) mend(i int) error {
	place := i - f.minute()
	entries := strings.Split(f[i], ",")
	for n, entry := range entries {
		if entry == "" {
			return fmt.Errorf("the list %q has an empty entry", f[i])
		}
		span, step, stepped := strings.Cut(entry, "/")
		a, b, isRange := strings.Cut(span, "-")
		first, last := number(a, place), number(b, place)
		if !isRange || first < 0 || last < 0 {
			continue // the library knows it, or says what is wrong
		}
		if place == placeDay && last == 0 && first > 0 {
			last = sunday
		}
		if first > last {
			return fmt.Errorf("the range %q goes backwards", entry)
		}
		if place != placeDay || last != sunday {
			continue
		}
		by := 1
		if stepped {
			var err error
			if by, err = strconv.Atoi(step); err != nil || by < 1 || by > sunday {
				return fmt.Errorf("%q has no step of 1 to %d", entry, sunday)
			}
		}
		entries[n] = days(first, by)
	}
	f[i] = strings.Join(entries, ",")
	return nil
}

// days lists the days of the week from first to Sunday.
func days(first, by int) string {
	var list []string
	for d := first; d <= sunday; d += by {
		list = append(list, strconv.Itoa(d%sunday))
	}
	return strings.Join(list, ",")
}

// number is the value of a word in a place, -1 when it has none that is known here.
func number(word string, place int) int {
	if n, err := strconv.Atoi(word); err == nil && n >= 0 {
		return n
	} else if err == nil || errors.Is(err, strconv.ErrRange) {
		return -1
	}
	const short = 3
	return slices.Index(names[place], strings.ToLower(word)[:min(short, len(word))])
}

// everyHour tells whether all hours match.
func (f fields) everyHour() bool {
	return slices.ContainsFunc(strings.Split(f[f.minute()+placeHour], ","), func(entry string) bool {
		return slices.Contains([]string{"*", "?", "*/1", "0-23", "00-23"}, entry)
	})
}
