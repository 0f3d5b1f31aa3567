// Package commandline is what the command lines of charms and of the tool have
// in common beyond the package flag: flags may stand anywhere among the words,
// are shown with two hyphens, and of a misspelt word the nearest is offered.
//
//	fs := flag.NewFlagSet("pack", flag.ContinueOnError)
//	output := fs.String("output", ".", "write the archives to `DIR`")
//	words, err := commandline.Parse(fs, []string{"web", "--output", "dist"})
//	// words is [web], *output is "dist"
package commandline

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parse parses flags wherever they stand among the arguments, as people type
// them, and returns the words that are no flags. All after -- are words. The
// error is that of the flag set; [flag.ErrHelp] says that help is wanted.
func Parse(fs *flag.FlagSet, args []string) (words []string, err error) {
	var after []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, after = args[:i], args[i+1:]
	}
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return append(words, after...), nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

// PrintFlags writes what a flag set has, two lines for each flag; nothing if
// it has none.
func PrintFlags(w io.Writer, fs *flag.FlagSet) {
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(w, "\nFlags:")
			first = false
		}
		value, usage := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			def = " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  --%s%s\n        %s%s\n", f.Name, value, usage, def)
	})
}

// Nearest returns that of the names which word most likely means, or "" if
// none is near: one in three letters may be wrong, missing or too many.
func Nearest(word string, names []string) string {
	best, least := "", utf8.RuneCountInString(word)/3+1
	for _, name := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < least || d == least && best == "" {
			best, least = name, d
		}
	}
	return best
}

// DidYouMean returns ` (did you mean "NAME"?)` with the nearest of names, or ""
// if none is near.
func DidYouMean(word string, names []string) string {
	if name := Nearest(word, names); name != "" {
		return fmt.Sprintf(" (did you mean %q?)", name)
	}
	return ""
}

// distance returns how many letters must be changed, added, taken away or
// swapped with their neighbour to turn a into b.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before []int // the row before the one before
	last := make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row := make([]int, len(t)+1)
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(t)]
}
