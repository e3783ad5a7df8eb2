"""The words that journeys look for, written by hand: what a page says is not asked of the page."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """A language: what the browser asks for, what the pages must answer in, and its words."""

    locale: str
    lang: str
    catalogue: dict[str, str] | None = field(default=None, repr=False)

    def say(self, english: str, **values: object) -> str:
        """*english* in this language; every word that a journey uses must be in the catalogue."""
        words = english if self.catalogue is None else self.catalogue[english]
        return words % values if values else words


ENGLISH = Words("en-GB", "en")

KOREAN = Words(
    "ko-KR",
    "ko",
    {
        "E-mail address": "메일 주소",
        "E-mail addresses": "메일 주소",
        "Continue": "계속",
        "Password": "암호",
        "Sign in": "로그인",
        "Enter your password": "암호 입력",
        "Home": "홈",
        "Open menu": "메뉴 열기",
        "Users": "사용자",
        "Invite external user": "외부 사용자 초대",
        "Personal message": "개인 메시지",
        "Display name": "표시 이름",
        "Language of the mail": "메일 언어",
        "Update preview": "미리 보기 새로 고침",
        "Invite": "초대",
        "Invited %(shown)s.": "초대했습니다: %(shown)s",
        "You’re invited to the %(organisation)s organisation": (
            "%(organisation)s 조직에 초대되었습니다"
        ),
        "%(inviter)s from %(organisation)s": "%(organisation)s의 %(inviter)s",
        "Captured mail": "보관된 메일",
        "HTML": "HTML",
        "Text": "텍스트",
        "Headers": "헤더",
        "Source": "원본",
        "Get Started": "시작",
        "%(name)s invites you to %(organisation)s": "%(name)s님이 %(organisation)s에 초대합니다",
        "Check your mail": "메일을 확인하세요",
        "Code": "코드",
        "Make a personal account": "개인 계정 만들기",
        "Given name": "이름",
        "Surname": "성",
        "New password": "새 암호",
        "Make the account": "계정 만들기",
        "Review permissions": "권한 검토",
        "Accept": "수락",
        "Your profile at %(organisation)s": "%(organisation)s의 내 프로필",
        "Company": "회사",
        "Save and continue": "저장 후 계속",
        "Apps": "앱",
        "Welcome back to %(organisation)s": "%(organisation)s에 다시 오신 것을 환영합니다",
        "Continue as %(name)s": "%(name)s 계정으로 계속",
        "Sign out": "로그아웃",
        "You are signed out": "로그아웃되었습니다",
        "State": "상태",
        "Added to the directory": "디렉터리에 추가됨",
        "Invited": "초대됨",
        "Type the address to confirm": "확인을 위해 주소를 입력하세요",
        "Given a sponsor": "스폰서가 지정됨",
        "Assigned to an application": "응용 프로그램에 할당됨",
        "Mail sent to the mail server": "메일 서버로 메일을 보냄",
        "Accepted the invitation": "초대를 수락함",
        "Signed in": "로그인함",
        "Block sign-in": "로그인 차단",
        "%(name)s is blocked and signed out everywhere.": (
            "%(name)s님을 차단하고 모든 곳에서 로그아웃했습니다."
        ),
        "Allow sign-in": "로그인 허용",
        "%(name)s may sign in again.": "%(name)s님이 다시 로그인할 수 있습니다.",
        "Delete": "삭제",
        "Delete %(name)s?": "%(name)s님을 삭제할까요?",
        "Delete %(name)s": "%(name)s 삭제",
        "%(name)s is deleted and can be restored for 30 days.": (
            "%(name)s님을 삭제했습니다. 30일 동안 복원할 수 있습니다."
        ),
    },
)
