package agent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// errHelp is what parsing returns for --help and -h.
var errHelp = errors.New("help requested")

// A flag is one option of a hook tool. Several names of one option share a
// flag.
type flag struct {
	isBool bool
	set    func(value string) error
	usage  string
}

// flags parses arguments the way Juju's hook tools do: options and arguments
// may be mixed, "--" ends the options, a name of one letter has one dash and
// may be joined with others or with its value, a longer one has two.
type flags struct {
	byName map[string]*flag
	// names are in the order of their declaration, for the help.
	names []string
}

// add declares an option under all those names, which are separated by commas.
func (f *flags) add(names string, fl *flag) {
	if f.byName == nil {
		f.byName = make(map[string]*flag)
	}
	for name := range strings.SplitSeq(names, ",") {
		f.byName[name] = fl
	}
	f.names = append(f.names, names)
}

func (f *flags) boolVar(p *bool, names, usage string) {
	f.add(names, &flag{isBool: true, usage: usage, set: func(value string) (err error) {
		v, err := strconv.ParseBool(value)
		if err == nil {
			*p = v
		}
		return err
	}})
}

func (f *flags) stringVar(p *string, names, usage string) {
	f.add(names, &flag{usage: usage, set: func(value string) error {
		*p = value
		return nil
	}})
}

func (f *flags) intVar(p *int, names, usage string) {
	f.add(names, &flag{usage: usage, set: func(value string) error {
		v, err := strconv.ParseInt(value, 0, 64)
		if err == nil {
			*p = int(v)
		}
		return err
	}})
}

func dashed(name string) string {
	if utf8.RuneCountInString(name) > 1 {
		return "--" + name
	}
	return "-" + name
}

// parse returns the arguments that are no options.
func (f *flags) parse(args []string) (rest []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			name, value, joined := strings.Cut(arg[2:], "=")
			if name == "" {
				return nil, fmt.Errorf("empty option in argument %q", arg)
			}
			if args, err = f.option(name, value, joined, args); err != nil {
				return nil, err
			}
		case len(arg) > 1 && arg[0] == '-':
			if args, err = f.letters(arg[1:], args); err != nil {
				return nil, err
			}
		default:
			rest = append(rest, arg)
		}
	}
	return rest, nil
}

// letters handles an argument of one dash: some options that are true or
// false, and perhaps one that takes the rest of it, or the next argument, as
// its value.
func (f *flags) letters(letters string, args []string) (rest []string, err error) {
	for letters != "" {
		_, n := utf8.DecodeRuneInString(letters)
		name := letters[:n]
		letters = letters[n:]
		fl := f.byName[name]
		value, joined := "", false
		switch {
		case fl == nil:
		case !fl.isBool:
			value, joined = letters, letters != ""
			letters = ""
		case strings.HasPrefix(letters, "="):
			value, joined = letters[1:], true
			letters = ""
		}
		if args, err = f.option(name, value, joined, args); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func (f *flags) option(name, value string, joined bool, args []string) ([]string, error) {
	fl := f.byName[name]
	switch {
	case fl == nil && (name == "help" || name == "h"):
		return nil, errHelp
	case fl == nil:
		return nil, fmt.Errorf("option provided but not defined: %s", dashed(name))
	case joined:
	case fl.isBool:
		value = "true"
	case len(args) == 0:
		return nil, fmt.Errorf("option needs an argument: %s", dashed(name))
	default:
		value, args = args[0], args[1:]
	}
	if err := fl.set(value); err != nil {
		return nil, fmt.Errorf("invalid value %q for option %s: %w", value, dashed(name), err)
	}
	return args, nil
}

// noMore refuses arguments that a tool does not take.
func noMore(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unrecognized args: %q", args)
	}
	return nil
}

// keyValues reads arguments of the form key=value. White space around key and
// value is dropped.
func keyValues(args []string) (map[string]string, error) {
	values := make(map[string]string, len(args))
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return nil, fmt.Errorf("expected \"key=value\", got %q", arg)
		}
		if _, ok := values[key]; ok {
			return nil, fmt.Errorf("key %q specified more than once", key)
		}
		values[key] = strings.TrimSpace(value)
	}
	return values, nil
}
