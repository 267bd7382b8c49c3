package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

var nan = math.NaN()

// refusal is what is wrong with a request, in words for who sent it.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

func refuse(format string, values ...any) error { return refusal{fmt.Sprintf(format, values...)} }

// parser reads the columns of a request, strictly: JSON, with no value that is not of its column's dtype.
type parser struct {
	body    []byte
	at      int
	bundle  *bundle
	most    int // pairs
	n       int // pairs; -1 until a column with one value a pair was read
	m       *matrices
	once    []pending
	seen    []bool
	numbers []float64
	wholes  []int64
	texts   []string
}

// pending is a value that was given once for all pairs.
type pending struct {
	column *input
	value  value
}

// value is one of a column: the one of its fields that the column's kind reads.
type value struct {
	number float64
	whole  int64
	text   string
}

// parseBody reads {"columns": {...}}, and gives matrices that are to be freed and the names that were given.
func parseBody(body []byte, b *bundle, most int) (*matrices, []bool, error) {
	p := &parser{body: body, bundle: b, most: most}
	p.space()
	if err := p.expect('{', "an object with \"columns\""); err != nil {
		return nil, nil, err
	}
	p.space()
	key, err := p.str()
	if err != nil || key != "columns" {
		return nil, nil, refuse("The request is not {\"columns\": {...}}.")
	}
	p.space()
	if err := p.expect(':', "a colon"); err != nil {
		return nil, nil, err
	}
	m, err := p.columns()
	if err != nil {
		return nil, nil, err
	}
	p.space()
	if err := p.expect('}', "the end of the object: \"columns\" is its only key"); err != nil {
		m.free()
		return nil, nil, err
	}
	p.space()
	if p.at < len(p.body) {
		m.free()
		return nil, nil, refuse("There is more after the request, at byte %d.", p.at)
	}
	return m, p.seen, nil
}

// columns reads the object of columns.
func (p *parser) columns() (made *matrices, err error) {
	p.n, p.seen = -1, make([]bool, len(p.bundle.Inputs))
	defer func() {
		if err != nil && p.m != nil {
			p.m.free()
			p.m = nil
		}
	}()
	p.space()
	if err := p.expect('{', "an object of columns"); err != nil {
		return nil, err
	}
	p.space()
	for first := true; p.peek() != '}'; first = false {
		if !first {
			if err := p.expect(',', "a comma or the end of the columns"); err != nil {
				return nil, err
			}
			p.space()
		}
		if err := p.column(); err != nil {
			return nil, err
		}
		p.space()
	}
	p.at++
	if p.m == nil {
		p.begin(1)
	}
	for _, given := range p.once {
		p.setAll(given.column, given.value)
	}
	return p.m, nil
}

func (p *parser) begin(n int) {
	p.n = n
	p.m = newMatrices(n, p.bundle.Null, p.bundle.width)
}

// column reads one name and its values.
func (p *parser) column() error {
	name, err := p.str()
	if err != nil {
		return err
	}
	c, isKnown := p.bundle.columns[name]
	if !isKnown {
		return refuse("There is no column %s. GET /inputs lists them.", quoted(name))
	}
	if p.seen[c.number] {
		return refuse("The column %s is given twice.", quoted(name))
	}
	p.seen[c.number] = true
	p.space()
	if err := p.expect(':', "a colon"); err != nil {
		return err
	}
	p.space()
	if p.peek() != '[' {
		return p.single(c)
	}
	p.at++
	return p.array(c)
}

// single reads a value that is given once; null for an array is one without values.
func (p *parser) single(c *input) error {
	v, isNull, err := p.value(c, -1)
	if err != nil {
		return err
	}
	if isNull {
		return nil
	}
	if c.Length != nil {
		return refuse("The column %s is one value.\nExpected: an array of %d for the whole request, or null", quoted(c.Name), *c.Length)
	}
	p.once = append(p.once, pending{c, v})
	return nil
}

// array reads values until the bracket closes.
func (p *parser) array(c *input) error {
	p.numbers, p.wholes, p.texts = p.numbers[:0], p.wholes[:0], p.texts[:0]
	n, most := 0, p.most
	if c.Length != nil {
		most = *c.Length
	}
	p.space()
	for ; p.peek() != ']'; n++ {
		if n > 0 {
			if err := p.expect(',', "a comma or the end of the array"); err != nil {
				return err
			}
			p.space()
		}
		if n == most && c.Length == nil {
			return refuse("The column %s has more than %d values.\nExpected: that many pairs at most", quoted(c.Name), most)
		}
		v, isNull, err := p.value(c, n)
		if err != nil {
			return err
		}
		p.keep(c, v, isNull)
		p.space()
	}
	p.at++
	if c.Length != nil {
		if n != *c.Length {
			return refuse("The column %s has %d values.\nExpected: %d for the whole request", quoted(c.Name), n, *c.Length)
		}
		p.once = append(p.once, p.spread(c)...)
		return nil
	}
	if n == 0 {
		return refuse("The column %s has no values.\nExpected: one pair at least", quoted(c.Name))
	}
	if p.m == nil {
		p.begin(n)
	}
	if n != p.n {
		return refuse("The column %s has %d values, another one %d.\nExpected: one value a pair in each", quoted(c.Name), n, p.n)
	}
	p.set(c)
	return nil
}

func (p *parser) keep(c *input, v value, isNull bool) {
	switch c.kind {
	case kindInt64:
		if isNull {
			v.whole = p.bundle.Null.Int64
		}
		p.wholes = append(p.wholes, v.whole)
	case kindText:
		if isNull {
			v.text = p.bundle.Null.Text
		}
		p.texts = append(p.texts, v.text)
	default:
		if isNull {
			v.number = nan
		}
		p.numbers = append(p.numbers, v.number)
	}
}

// spread turns the values of an array into one column of the matrix each.
func (p *parser) spread(c *input) []pending {
	made := make([]pending, *c.Length)
	for i := range made {
		place := *c
		place.Position += i
		made[i].column = &place
		switch c.kind {
		case kindInt64:
			made[i].value.whole = p.wholes[i]
		case kindText:
			made[i].value.text = p.texts[i]
		default:
			made[i].value.number = p.numbers[i]
		}
	}
	return made
}

// set writes the values of a column.
func (p *parser) set(c *input) {
	width, at := p.m.width[c.kind], c.Position
	switch c.kind {
	case kindFloat32:
		for _, v := range p.numbers {
			p.m.float32[at] = float32(v)
			at += width
		}
	case kindFloat64:
		for _, v := range p.numbers {
			p.m.float64[at] = v
			at += width
		}
	case kindInt64:
		for _, v := range p.wholes {
			p.m.int64[at] = v
			at += width
		}
	default:
		for _, v := range p.texts {
			p.m.text[at] = v
			at += width
		}
	}
}

// setAll writes one value for all pairs.
func (p *parser) setAll(c *input, v value) {
	width := p.m.width[c.kind]
	for at := c.Position; at < p.n*width; at += width {
		switch c.kind {
		case kindFloat32:
			p.m.float32[at] = float32(v.number)
		case kindFloat64:
			p.m.float64[at] = v.number
		case kindInt64:
			p.m.int64[at] = v.whole
		default:
			p.m.text[at] = v.text
		}
	}
}

// value reads one value, or null.
func (p *parser) value(c *input, number int) (value, bool, error) {
	start := p.at
	if p.word("null") {
		return value{}, true, nil
	}
	var v value
	var err error
	isRight := false
	switch c.kind {
	case kindText:
		if isRight = p.peek() == '"'; isRight {
			v.text, err = p.str()
			if err == nil && (strings.IndexByte(v.text, 0) >= 0 || v.text == p.bundle.Null.Text) {
				err = refuse("The column %s%s has a text of control characters.", quoted(c.Name), place(number))
			}
		}
	case kindInt64:
		v.whole, isRight = p.whole(c)
	default:
		v.number, isRight = p.number(c)
	}
	if err == nil && !isRight {
		err = refuse("The column %s%s is %s.\nExpected: %s, or null", quoted(c.Name), place(number), p.excerpt(start), c.expected())
	}
	return v, false, err
}

// whole reads a whole number within the range of the column's dtype, or true and false of a Boolean.
func (p *parser) whole(c *input) (int64, bool) {
	if c.DType == "Boolean" {
		if p.word("true") {
			return 1, true
		}
		return 0, p.word("false")
	}
	token, isPlain := p.token()
	if !isPlain {
		return 0, false
	}
	v, err := strconv.ParseInt(token, 10, 64)
	return v, err == nil && v >= c.low && v <= c.high
}

// number reads a finite number that the column's dtype can hold.
func (p *parser) number(c *input) (float64, bool) {
	var d decimal
	token, _ := p.scan(&d)
	if token == "" {
		return 0, false
	}
	if c.kind == kindFloat32 {
		if v, isSure := d.float32(); isSure {
			return v, true
		}
	}
	v, err := strconv.ParseFloat(token, 64)
	return v, err == nil && (c.kind == kindFloat64 || math.Abs(v) <= math.MaxFloat32)
}

// token reads what JSON takes for a number; empty if there is none. isWhole: without fraction and exponent.
func (p *parser) token() (token string, isWhole bool) {
	var d decimal
	return p.scan(&d)
}

// decimal is a number as it is written: (-1)^isNegative * digits * 10^exponent. isLong: there are more digits.
type decimal struct {
	digits             uint64
	n, exponent        int
	isNegative, isLong bool
}

func (d *decimal) add(c byte) {
	if d.n == 19 {
		d.isLong = true
		return
	}
	d.digits = d.digits*10 + uint64(c-'0')
	if d.digits > 0 {
		d.n++
	}
}

var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
	1e18, 1e19, 1e20, 1e21, 1e22}

// float32 gives the Float32 that the nearest Float64 is rounded to, unless that is unsure: two roundings are at most some
// units of Float64 off, which matters only where a number lies that near the middle of two of Float32.
func (d *decimal) float32() (float64, bool) {
	if d.isLong || d.exponent < -22 || d.exponent > 15 {
		return 0, false
	}
	v := float64(d.digits)
	if d.exponent < 0 {
		v /= powers[-d.exponent]
	} else {
		v *= powers[d.exponent]
	}
	const middle, some = 1 << 28, 8
	if low := math.Float64bits(v) & (1<<29 - 1); low >= middle-some && low <= middle+some {
		return 0, false
	}
	if d.isNegative {
		v = -v
	}
	return float64(float32(v)), true
}

// scan reads a number into d, too.
func (p *parser) scan(d *decimal) (token string, isWhole bool) {
	i, b := p.at, p.body
	if i < len(b) && b[i] == '-' {
		d.isNegative = true
		i++
	}
	first := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d.add(b[i])
	}
	if i == first || (b[first] == '0' && i > first+1) {
		return "", false
	}
	isWhole = true
	if i < len(b) && b[i] == '.' {
		i++
		isWhole, first = false, i
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			d.add(b[i])
		}
		if d.exponent = first - i; i == first {
			return "", false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		isMinus := i < len(b) && b[i] == '-'
		if isMinus || (i < len(b) && b[i] == '+') {
			i++
		}
		isWhole, first = false, i
		exponent := 0
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			if exponent < 10000 {
				exponent = exponent*10 + int(b[i]-'0')
			}
		}
		if isMinus {
			exponent = -exponent
		}
		if d.exponent += exponent; i == first {
			return "", false
		}
	}
	some := b[p.at:i]
	p.at = i
	return *(*string)(unsafe.Pointer(&some)), isWhole // read at once, and the body does not change
}

// str reads a text.
func (p *parser) str() (string, error) {
	if err := p.expect('"', "a text in quotes"); err != nil {
		return "", err
	}
	start, isPlain := p.at, true
	for ; p.at < len(p.body); p.at++ {
		switch c := p.body[p.at]; {
		case c == '"':
			raw := p.body[start:p.at]
			p.at++
			if !utf8.Valid(raw) {
				return "", refuse("A text is not valid UTF-8, at byte %d.", start)
			}
			if isPlain {
				return string(raw), nil
			}
			var text string
			if json.Unmarshal(p.body[start-1:p.at], &text) != nil {
				return "", refuse("A text has an escape that JSON does not know, at byte %d.", start)
			}
			return text, nil
		case c == '\\':
			isPlain = false
			p.at++
		case c < 0x20:
			return "", refuse("A text holds a control character, at byte %d.", p.at)
		}
	}
	return "", refuse("The request ends within a text.")
}

func (p *parser) word(word string) bool {
	if len(p.body)-p.at < len(word) || string(p.body[p.at:p.at+len(word)]) != word {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) space() {
	for p.at < len(p.body) && (p.body[p.at] == ' ' || p.body[p.at] == '\n' || p.body[p.at] == '\t' || p.body[p.at] == '\r') {
		p.at++
	}
}

// peek gives the next byte, a closing bracket's opposite (0) at the end.
func (p *parser) peek() byte {
	if p.at < len(p.body) {
		return p.body[p.at]
	}
	return 0
}

func (p *parser) expect(c byte, what string) error {
	if p.peek() != c || p.at >= len(p.body) {
		if p.at >= len(p.body) {
			return refuse("The request ends too early.\nExpected: %s", what)
		}
		return refuse("The request is no valid JSON at byte %d: %s.\nExpected: %s", p.at, p.excerpt(p.at), what)
	}
	p.at++
	return nil
}

// excerpt is what stands at a place, for a message.
func (p *parser) excerpt(at int) string {
	if at >= len(p.body) {
		return "nothing"
	}
	end := at
	for end < len(p.body) && end < at+24 && !strings.ContainsRune(",]}", rune(p.body[end])) {
		end++
	}
	if end == at {
		end++
	}
	return strings.ToValidUTF8(string(p.body[at:end]), "?")
}

func place(number int) string {
	if number < 0 {
		return ""
	}
	return fmt.Sprintf(", value %d,", number)
}

// quoted is a name for a message, cut if it is long.
func quoted(name string) string {
	if len(name) > 80 {
		name = strings.ToValidUTF8(name[:80], "") + "..."
	}
	return strconv.Quote(name)
}
