// emulator run -- go test docs/examples/weather_test.go

package weather

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
)

// The client under test: it tries again when the provider is busy.

func weather(baseURL, city string) (string, error) {
	question := map[string]any{
		"model":    "gpt-4o-mini",
		"messages": []any{map[string]string{"role": "user", "content": "Weather in " + city + "?"}},
	}
	for attempt := 1; ; attempt++ {
		var answer struct {
			Choices []struct{ Message struct{ Content string } }
		}
		status, err := send("POST", baseURL+"/chat/completions", question, &answer)
		switch {
		case err != nil:
			return "", err
		case status == 200 && len(answer.Choices) == 0:
			return "", errors.New("the answer has no choices")
		case status == 200:
			return answer.Choices[0].Message.Content, nil
		case status != 429 && status != 503 || attempt == 3:
			return "", fmt.Errorf("status %d", status)
		}
	}
}

func send(method, url string, body, answer any) (int, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequest(method, url, bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer sk-any")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if data, err = io.ReadAll(response.Body); err != nil {
		return 0, err
	}
	if response.StatusCode >= 400 {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.Unmarshal(data, answer)
}

// A namespace for each test: its own rules, counters and journal, over the control API.

type namespace struct {
	t       *testing.T
	control string
	BaseURL string
}

func newNamespace(t *testing.T) *namespace {
	server := os.Getenv("EMULATOR_URL")
	if server == "" {
		t.Skip("start the emulator: emulator run -- go test docs/examples/weather_test.go")
	}
	made := &namespace{t, server + "/@" + t.Name() + "/__emulator", server + "/@" + t.Name() + "/openai/v1"}
	made.call("PUT", server+"/__emulator/namespaces/"+t.Name(), map[string]any{"scenario": map[string]any{"unmatched": "error"}})
	t.Cleanup(func() {
		for _, exchange := range made.journal("") {
			if exchange.Error == "unmatched" {
				t.Errorf("request %d matched no rule", exchange.Number)
			}
		}
		made.call("DELETE", server+"/__emulator/namespaces/"+t.Name(), nil)
	})
	return made
}

func (n *namespace) call(method, url string, body any) json.RawMessage {
	n.t.Helper()
	var answer json.RawMessage
	status, err := send(method, url, body, &answer)
	if err != nil || status >= 400 {
		n.t.Fatalf("%s %s: %d %v", method, url, status, err)
	}
	return answer
}

func (n *namespace) rule(rule map[string]any) { n.t.Helper(); n.call("POST", n.control+"/rules", rule) }

type exchange struct {
	Number          int
	Provider, Error string
	Status          int
}

func (n *namespace) journal(query string) []exchange {
	n.t.Helper()
	var found struct{ Exchanges []exchange }
	if err := json.Unmarshal(n.call("GET", n.control+"/journal"+query, nil), &found); err != nil {
		n.t.Fatal(err)
	}
	return found.Exchanges
}

func TestAnAnswer(t *testing.T) {
	t.Parallel()
	emulator := newNamespace(t)
	emulator.rule(map[string]any{
		"match": map[string]any{"prompt": map[string]any{"contains": "Paris"}},
		"reply": map[string]any{"content": "Sunny."},
	})
	if answer, err := weather(emulator.BaseURL, "Paris"); answer != "Sunny." {
		t.Fatal(answer, err)
	}
	if came := emulator.journal("?provider=openai"); len(came) != 1 {
		t.Fatal(came)
	}
}

func TestABusyProvider(t *testing.T) {
	t.Parallel()
	emulator := newNamespace(t)
	emulator.rule(map[string]any{"replies": []any{
		map[string]any{"error": "rate_limited"},
		map[string]any{"error": "overloaded"},
		map[string]any{"reply": map[string]any{"content": "Snow."}},
	}})
	if answer, err := weather(emulator.BaseURL, "Oslo"); answer != "Snow." {
		t.Fatal(answer, err)
	}
	if came := emulator.journal("/wait?count=3"); len(came) != 3 || came[0].Status != 429 || came[1].Status != 503 {
		t.Fatal(came)
	}
}

func TestAConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	emulator := newNamespace(t)
	emulator.rule(map[string]any{"reply": map[string]any{"content": "Rain."}})
	emulator.call("POST", emulator.control+"/faults", map[string]any{"fault": "truncated_json", "times": 1})
	if answer, err := weather(emulator.BaseURL, "Rome"); err == nil {
		t.Fatalf("half an answer was accepted: %q", answer)
	}
	if answer, err := weather(emulator.BaseURL, "Rome"); answer != "Rain." {
		t.Fatal(answer, err)
	}
}
